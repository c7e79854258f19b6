"""Zip archives that hold one text file, as LEAN and Binance publish bars. Nothing is unpacked to disk."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa

from lumibot_duckdb.importing.errors import FileRefusedError

MAGIC = b"PK\x03\x04"

# Other methods unpack without a bound of each step.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def member_of(path: Path) -> str | None:
    """Return the name of the only file in an archive; None if there are several or none, or if it is not an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _files(archive)
    except Exception:  # damaged archives raise errors of many kinds
        return None
    return members[0].filename if len(members) == 1 else None


class ZippedFile:
    """The only file in an archive, as a stream. Raises `FileRefusedError` if it cannot be unpacked."""

    def __init__(self, raw: pa.NativeFile) -> None:
        try:
            archive = zipfile.ZipFile(raw)
            (member,) = _files(archive)
            self._file = archive.open(member)
        except Exception as error:
            raise _refusal(error) from error
        if member.compress_type not in _METHODS:
            raise _refusal("it is not compressed by the usual method")

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        try:
            return self._file.read(size)
        except Exception as error:
            raise _refusal(error) from error


def _files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [each for each in archive.infolist() if not each.is_dir()]


def _refusal(reason: Exception | str) -> FileRefusedError:
    return FileRefusedError(f"the file in this zip archive cannot be unpacked ({reason}): unpack it in another way")
