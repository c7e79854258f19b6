"""Keeps a sweep to one process: two that run it at once would run its trials twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lumibot_duckdb.storage.connection.processes import describe_process
from lumibot_duckdb.storage.location import ensure_folder
from lumibot_duckdb.sweeps.errors import SweepError, SweepRunningError

try:
    import fcntl
except ImportError:  # Windows, where there are no stores either
    fcntl = None  # type: ignore[assignment]


@contextmanager
def sweep_lock(results: Path, name: str) -> Iterator[None]:
    """Hold the lock of a sweep in a `with` block. The kernel frees it if this process is killed.

    Raises `SweepRunningError` if another process runs the sweep, and `SweepError` if no file can be beside the results.
    """
    ensure_folder(results)
    file = results.with_name(f"{results.name}.{hashlib.sha256(name.encode()).hexdigest()[:12]}.running")
    descriptor = _locked(file, name)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(file: Path, name: str) -> int:
    """Return the descriptor of the locked file, which has the process id of its holder."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            message = f"cannot write beside the results file ({file}: {error.strerror}); name another with --results"
            raise SweepError(message) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(descriptor)
            os.close(descriptor)
            message = f"the sweep {name} is running in {holder}: wait for it, or choose another name"
            raise SweepRunningError(message) from None
        if _is_at(file, descriptor):
            os.pwrite(descriptor, str(os.getpid()).encode().ljust(20), 0)
            return descriptor
        os.close(descriptor)  # its last holder removed it meanwhile


def _is_at(file: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    return False


def _holder(descriptor: int) -> str:
    with suppress(ValueError):
        return describe_process(int(os.pread(descriptor, 20, 0)))
    return "another process"
