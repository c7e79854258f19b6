"""Files that runs of a script leave in its folders are detected, and those of others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumibot_duckdb.comparison.changed_files import ChangedFiles


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script's folder, with the present one in it."""
    for name in ("here/out", "store", ".git", "logs", "__pycache__", "cache/polygon"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "read.csv").write_text("1")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def leftovers(folder: Path) -> ChangedFiles:
    return ChangedFiles(folder / "script.py", folder / "store" / "lumibot.duckdb")


@pytest.mark.parametrize("name", ["memo.pkl", "here/memo.pkl", "here/out/memo.pkl", ".state"])
def test_a_new_file(name: str, folder: Path) -> None:
    before = leftovers(folder)
    assert before.named() == ""
    (folder / name).write_text("2")
    assert (folder / "here" / before.named()).resolve() == folder / name


def test_a_file_that_is_other_and_one_that_is_gone(folder: Path) -> None:
    for name in ("changed", "gone"):
        (folder / "here" / name).write_text("1")
    before = leftovers(folder)
    (folder / "here" / "changed").write_text("22")
    (folder / "here" / "gone").unlink()
    assert before.named() == "changed, gone"


@pytest.mark.parametrize(
    "name",
    [".git/index", "logs/A.csv", "__pycache__/own.pyc", "store/lumibot.duckdb.lock", "cache/polygon/SPY.parquet"],
)
def test_what_is_not_the_scripts(name: str, folder: Path) -> None:
    before = leftovers(folder)
    (folder / name).write_text("2")
    assert before.named() == ""


def test_of_many_files_a_few_are_named(folder: Path) -> None:
    before = leftovers(folder)
    for number in range(8):
        (folder / "here" / f"{number}.csv").touch()
    assert before.named() == "0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 3 more"


def test_folders_that_are_not_there_or_may_not_be_read_have_no_files(folder: Path) -> None:
    assert ChangedFiles(folder / "nowhere" / "script.py", folder / "lumibot.duckdb").named() == ""
