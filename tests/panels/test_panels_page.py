"""The examples in docs/panels.md run in the order of the page and print what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages_of_examples import check_examples

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.xdist_group("scikit-learn"), pytest.mark.usefixtures("one_thread")]  # it is imported once

PAGE = Path(__file__).parents[2] / "docs" / "panels.md"


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("talib")
    monkeypatch.chdir(tmp_path)
    check_examples(PAGE)
