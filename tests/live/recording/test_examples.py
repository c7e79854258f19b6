"""The examples of recording, on the page and in docstrings, print what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from pages_of_examples import check_examples

PAGE = Path(__file__).parents[3] / "docs" / "live.md"


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "bars.duckdb"))
    monkeypatch.chdir(tmp_path)


def test_the_examples_of_the_page() -> None:
    check_examples(PAGE, more_than=5)


@pytest.mark.parametrize("name", ["closed", "recording.recorder"])
def test_the_examples_in_docstrings(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"lumibot_duckdb.live.{name}"))
    assert found.attempted
    assert not found.failed
