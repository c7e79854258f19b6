"""Reads a store file other than this process's store: a backup or a replica. Nothing is written beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.duckdb_errors import HeldElsewhereError, attach_failure
from lumibot_duckdb.storage.connection.engine import Engine, attach
from lumibot_duckdb.storage.errors import StoreBusyError, StoreDamagedError, StoreNotFoundError, StoreVersionError
from lumibot_duckdb.storage.upkeep.file_kind import not_a_store

_BYTES_AT_A_TIME = 8 * 2**20

NAME = "other"
"""The name under which `attached` attaches a file."""


@contextmanager
def opened(path: Path) -> Iterator[StoreCursor]:
    """Yield a cursor on a file, as `attached` does. What cannot be read in the block raises `StoreDamagedError`."""
    with attached(path) as duck:
        try:
            yield StoreCursor(NAME, duck)
        except (duckdb.OutOfMemoryException, duckdb.InterruptException):
            raise
        except duckdb.Error as error:
            raise _failure(path, error) from error


@contextmanager
def attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Attach a file for reading, with the log beside it; nobody can write it during the block.

    Statements reach no other file, because the file is not trusted.

    Raises `StoreNotFoundError`, `StoreBusyError`, `StoreVersionError`, `StoreDamagedError`.
    """
    if not path.exists():
        raise StoreNotFoundError(f"there is no file {path}")
    duck = duckdb.connect(":memory:", config=Engine.settings())
    try:
        duck.execute("SET GLOBAL TimeZone = 'UTC'")
        try:
            attach(duck, path, NAME, "READ_ONLY")
        except duckdb.Error as error:
            raise _not_attached(path, error) from error
        duck.execute("SET enable_external_access = false")
        duck.execute("SET lock_configuration = true")
        yield duck
    finally:
        duck.close()


def _not_attached(path: Path, error: duckdb.Error) -> Exception:
    failure = _failure(path, error)
    if isinstance(failure, (StoreBusyError, StoreVersionError)):
        return failure
    what = not_a_store(path)
    return failure if what is None else StoreDamagedError(what)


def _failure(path: Path, error: duckdb.Error) -> Exception:
    failure = attach_failure(path, error, writing=False)
    return StoreBusyError(str(failure)) if isinstance(failure, HeldElsewhereError) else failure


def copy_bytes(source: Path, target: Path, on_bytes: Callable[[int, int], None] | None = None) -> None:
    """Copy a file; `on_bytes` receives how many bytes of how many are copied."""
    with source.open("rb") as read, target.open("xb") as written:
        done, total = 0, source.stat().st_size
        while block := read.read(_BYTES_AT_A_TIME):
            written.write(block)
            done += len(block)
            if on_bytes is not None:
                on_bytes(done, total)
