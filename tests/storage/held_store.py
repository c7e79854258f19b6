"""Holds a store as another process does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lumibot_duckdb.storage.connection.lock import StoreLock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock between processes, as any process that works on the store does."""
    lock = StoreLock(path)
    lock.acquire(True, float("inf"))
    try:
        yield
    finally:
        lock.close()
