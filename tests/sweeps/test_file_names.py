"""Names of a sweep's files: they can be created, and differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumibot_duckdb.sweeps.file_names import file_name


@pytest.mark.parametrize("name", ["crossing-1", "höhe", "a/b", "../x", "..", ".", "é" * 200, "€" * 200, "n" * 200])
def test_any_name_makes_a_file_in_its_folder(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"lumibot-results-{file_name(name)}.html"
    file.touch()
    assert file.parent == tmp_path
    folder = tmp_path / file_name(name)
    folder.mkdir()
    assert folder.resolve().parent == tmp_path.resolve()


def test_usual_names_are_kept() -> None:
    assert file_name("crossing-1") == "crossing-1"


def test_names_that_look_the_same_get_different_files() -> None:
    names = ["a/b", "a b", "a_b", "é" * 200, "é" * 199, "n" * 200, "n" * 199]
    assert len({file_name(name) for name in names}) == len(names)
