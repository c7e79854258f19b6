"""The names that users import."""

from __future__ import annotations

import pytest

from lumibot_duckdb import live


@pytest.mark.parametrize("name", live.__all__)
def test_each_name_is_that_of_its_module(name: str) -> None:
    assert getattr(live, name).__name__ == name
    assert name in dir(live)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recrder'"):
        _ = live.recrder
