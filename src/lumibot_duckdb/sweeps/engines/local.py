"""Trials on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def local_executor(jobs: int) -> Iterator[Executor]:
    """Yield an executor of threads. Each waits for a trial's own process on this machine."""
    with ThreadPoolExecutor(jobs, thread_name_prefix="trial") as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
