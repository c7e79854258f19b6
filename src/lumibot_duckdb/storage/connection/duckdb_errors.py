"""What an error of DuckDB says about the store: its file is damaged, the disk is full, another program holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.errors import StorageError, StoreDamagedError, StoreVersionError, StoreWriteError

_CONFLICT = re.compile(r"Conflicting lock is held in (?P<name>.*?) \(PID (?P<pid>\d+)\)")
_DISK_FAILURES = ("No space left on device", "File too large", "quota exceeded", "Could not write", "fsync")
_DAMAGE = (
    "not a valid DuckDB database file",
    "Could not read enough bytes from file",
    "Corrupt database file",
    "Failure while replaying WAL",
)


class HeldElsewhereError(Exception):
    """The file is open in a program that does not use our lock."""


@contextmanager
def explained(path: Path, engine: Engine) -> Iterator[None]:
    """Raise DuckDB's errors about the file or the disk as errors of this package; other errors pass."""
    try:
        yield
    except duckdb.Error as error:
        explanation = _explanation(path, error)
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
            engine.failed = True
        if explanation is None:
            raise
        raise explanation from error


def attach_failure(path: Path, error: duckdb.Error) -> Exception:
    """Return what a failed ATTACH means for the caller."""
    text = str(error)
    if "Could not set lock on file" in text:
        found = _CONFLICT.search(text)
        who = f"{found['name']} (process {found['pid']})" if found else "another program"
        return HeldElsewhereError(f"{path} is open in {who}. Close it there and try again.")
    if "Unique file handle conflict" in text:
        return HeldElsewhereError(f"{path} is open in another DuckDB connection of this process. Close that first.")
    if "version number" in text:
        return StoreVersionError(f"{path} was written by another DuckDB than {duckdb.__version__} can read: {text}")
    return _explanation(path, error) or StorageError(f"cannot open {path}: {text}")


def _explanation(path: Path, error: duckdb.Error) -> StorageError | None:
    text = str(error)
    (summary, *_) = text.splitlines() or [""]  # the rest may quote the query
    if any(words in summary for words in _DISK_FAILURES):
        return StoreWriteError(f"the disk is full or failed, and nothing was stored in {path}: {text}")
    if any(words in summary for words in _DAMAGE):
        return StoreDamagedError(f"{path} is not a DuckDB file, or it is damaged: {text}")
    return None
