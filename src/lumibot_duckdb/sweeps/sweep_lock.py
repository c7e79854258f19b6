"""Keeps a sweep to one process: two that run it at once would run its trials twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import getpid
from pathlib import Path

from lumibot_duckdb.results.location import ensure_results_folder
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.connection.file_lock import FileLock
from lumibot_duckdb.storage.connection.processes import describe_process
from lumibot_duckdb.sweeps.errors import SweepRunningError


@contextmanager
def sweep_lock(results: Path, name: str) -> Iterator[None]:
    """Hold the lock of a sweep in a `with` block. The kernel frees it if this process is killed.

    Raises `SweepRunningError` if another process runs the sweep, and `StoreWriteError` if no file can be beside the
    results.
    """
    ensure_results_folder(results)
    file = results.with_name(f"{results.name}.{hashlib.sha256(name.encode()).hexdigest()[:12]}.running")
    with writing(f"the sweep {name} has not begun"):
        lock = _locked(file, name)
    try:
        yield
    finally:
        lock.remove()


def _locked(file: Path, name: str) -> FileLock:
    """Return the lock on a file, which has the process id of its holder."""
    lock = FileLock(file)
    if not lock.take():
        raise SweepRunningError(f"the sweep {name} is running in {_holder(file)}: wait for it, or choose another name")
    try:
        file.write_text(f"{getpid()}\n")
    except OSError:
        lock.remove()
        raise
    return lock


def _holder(file: Path) -> str:
    with suppress(OSError, ValueError):
        return describe_process(int(file.read_text()))
    return "another process"
