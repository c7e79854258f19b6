"""The examples in docs/sweeps.md run in the order of the page and print what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages_of_examples import check_examples

pytest.importorskip("optuna")
pytestmark = pytest.mark.xdist_group("optuna")  # it is imported once

PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_examples(PAGE)
