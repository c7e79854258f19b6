"""`indicator_dispatch`: what records indicators is around what computes them, whichever comes first."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from lumibot.indicators import indicators as module

from lumibot_duckdb.lumibot_contract.indicator_dispatch import Dispatch, replace_dispatch, wrap_dispatch


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_wrappers_are_around_replacements(order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    class Indicators:
        def _dispatch(self, name: str, **settings: Any) -> list[str]:
            return [f"Lumibot's {name} {settings}"]

    monkeypatch.setattr(module, "Indicators", Indicators)

    def adding(note: str) -> Any:
        def make(inner: Dispatch) -> Dispatch:
            return lambda self, *args, **settings: [note, *inner(self, *args, **settings)]

        return make

    steps = [
        lambda: wrap_dispatch(adding("recorded")),
        lambda: replace_dispatch(adding("computed once")),
        lambda: wrap_dispatch(adding("recorded")),
    ]
    for step in order:
        steps[step]()
    expected = ["recorded", "recorded", "computed once", "Lumibot's rsi {'length': 3}"]
    assert Indicators()._dispatch("rsi", length=3) == expected
