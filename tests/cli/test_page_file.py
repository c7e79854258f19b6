"""The file of `--html` is written as a whole or not at all, and no file of another kind is replaced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.page_file import check_page_file, write_page_file

PAGE = "<!doctype html>\n<title>é</title>"


def test_a_page_is_written_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "with space é.html"
    for page in (PAGE, PAGE + "longer", PAGE):
        check_page_file(file)
        write_page_file(file, page)
        assert file.read_text(encoding="utf-8") == page
        assert list(tmp_path.iterdir()) == [file]


def test_the_check_leaves_nothing(tmp_path: Path) -> None:
    check_page_file(tmp_path / "status.html")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    file.touch()
    check_page_file(file)
    write_page_file(file, PAGE)
    assert file.read_text(encoding="utf-8") == PAGE


@pytest.mark.parametrize("content", [b"date,open\n2024-01-02,1\n", b"\x00DUCK", b"<!"])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "lumibot.duckdb"
    file.write_bytes(content)
    with pytest.raises(CommandError, match="exists and is not an HTML page; name another file") as refused:
        check_page_file(file)
    assert refused.value.exit_code == 2
    assert file.read_bytes() == content


def test_a_page_behind_a_link_is_replaced_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "folder" / "page.html")
    for page in (PAGE, PAGE * 2):
        check_page_file(link)
        write_page_file(link, page)
        assert link.is_symlink()
        assert (tmp_path / "folder" / "page.html").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("file", ["no/such/folder.html", "."])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=r"cannot write to .*; name a file in an existing folder"):
        check_page_file(Path(file))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_can_only_be_read(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CommandError, match=r"; name a file in a folder that is writable$") as refused:
        check_page_file(tmp_path / "status.html")
    assert refused.value.exit_code == 2


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "status.html"
    write_page_file(file, PAGE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match="No space left on device"):
        write_page_file(file, PAGE * 2)
    assert file.read_text(encoding="utf-8") == PAGE
    assert list(tmp_path.iterdir()) == [file]


def test_a_device_is_written_to_directly() -> None:
    check_page_file(Path("/dev/full"))
    with pytest.raises(CommandError, match="cannot write to /dev/full: No space left on device") as refused:
        write_page_file(Path("/dev/full"), PAGE)
    assert refused.value.exit_code == 3


def test_half_of_a_surrogate_pair_is_no_fault(tmp_path: Path) -> None:
    write_page_file(tmp_path / "page.html", PAGE + "\udc80")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == PAGE + "\\udc80"
