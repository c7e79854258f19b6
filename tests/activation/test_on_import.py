"""Modules are changed when they are imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from lumibot_duckdb.activation.on_import import on_import

NAME = "module_of_test_on_import"


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop(NAME, None)


def test_all_who_want_a_module_get_it_right_after_its_import() -> None:
    seen: list[tuple[str, int]] = []

    def noting(who: str) -> object:
        def change(module: ModuleType) -> None:
            seen.append((who, module.value))

        return change

    ends = [on_import((NAME, "no_such_module"), noting(who)) for who in ("a", "b", "c")]  # type: ignore[arg-type]
    ends[1]()
    assert seen == []
    import_module(NAME)
    assert sorted(seen) == [("a", 1), ("c", 1)]
    end_of_late = on_import((NAME,), noting("late"))  # type: ignore[arg-type]
    assert seen[-1] == ("late", 1)
    for end in (ends[0], ends[2], end_of_late):
        end()
        end()
    del sys.modules[NAME]
    import_module(NAME)
    assert len(seen) == 3
