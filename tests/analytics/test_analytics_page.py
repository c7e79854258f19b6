"""The examples in docs/analytics.md run in the order of the page and print what it shows."""

from __future__ import annotations

from pathlib import Path

import lumibot.strategies  # noqa: F401  (it prints a line when it is imported)
import pytest

from pages_of_examples import check_examples

PAGE = Path(__file__).parents[2] / "docs" / "analytics.md"


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("talib")
    monkeypatch.chdir(tmp_path)
    check_examples(PAGE)
