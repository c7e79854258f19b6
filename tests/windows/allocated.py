"""What windows hold in fact: the arrays that NumPy has allocated and that are freed when the windows are dropped."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from lumibot_duckdb.windows.window import MemoryBudget


@contextmanager
def arrays_counted() -> Iterator[Callable[[], int]]:
    """Give a function that returns the bytes of the arrays that were made in a `with` block and still exist."""

    def held() -> int:
        gc.collect()
        arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays]).traces)

    tracemalloc.start()
    try:
        yield held
    finally:
        tracemalloc.stop()


def bytes_in_windows(budget: MemoryBudget, arrays: Callable[[], int]) -> int:
    """Return the bytes that all windows of a budget hold, by dropping them."""
    before = arrays()
    for holder in list(budget._holders):
        holder.drop()
    return before - arrays()
