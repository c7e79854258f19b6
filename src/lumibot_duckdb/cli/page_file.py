"""Pages and pictures that commands write: as a whole or not at all, and no file of another kind is replaced."""

from __future__ import annotations

import errno
from pathlib import Path

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.pages.file import unfinished_file, write_whole

_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_PAGE, _PNG = (b"<!doctype html", "an HTML page"), (b"\x89png", "a PNG picture")


def check_page_file(file: Path) -> None:
    """Raise `CommandError` if a page could not be written to `file` at the end of the command. Leaves no file.

    An existing page is replaced later, as is an empty file. A file with other contents is refused: its name was
    probably typed by mistake.
    """
    _check(file, *_PAGE)


def check_png_file(file: Path) -> None:
    """Raise `CommandError` if a picture could not be written to `file`, as `check_page_file` does for a page."""
    _check(file, *_PNG)


def _check(file: Path, start: bytes, kind: str) -> None:
    try:
        if file.exists() and not file.is_file() and not file.is_dir():
            return  # a device or a pipe: opening it may have effects
        if file.exists():
            with file.open("r+b") as existing:
                beginning = existing.read(len(start))
            if beginning and beginning.lower() != start:
                raise CommandError(f"{file} exists and is not {kind}; name another file, or remove it first")
        unfinished = unfinished_file(file)
        unfinished.open("xb").close()
        unfinished.unlink()
    except OSError as error:
        raise _unwritable(file, error) from None


def write_page_file(file: Path, page: str) -> None:
    """Write a page. A file of this name has the whole page, or what it had before. Raises `CommandError`."""
    write_file(file, page.encode("utf-8", "backslashreplace"))  # a name may have half of a surrogate pair


def write_file(file: Path, content: bytes) -> None:
    """Write a file. It has the whole content, or what it had before. Raises `CommandError`."""
    try:
        if file.exists() and not file.is_file():
            file.write_bytes(content)  # a device or a pipe
            return
        write_whole(file, content)
    except OSError as error:
        raise _unwritable(file, error) from None


def _unwritable(file: Path, error: OSError) -> CommandError:
    full = error.errno in _FULL
    if full:
        remedy = "free some space, or name a file on another disk"
    elif error.errno in _READ_ONLY:
        remedy = "name a file in a folder that is writable"
    else:
        remedy = "name a file in an existing folder"
    return CommandError(f"cannot write to {file}: {error.strerror}; {remedy}", exit_code=3 if full else 2)
