"""A window for rows that are expensive to make and small to keep, such as days made of minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lumibot_duckdb.windows.window import MemoryBudget, Rows, SlidingWindow

RowsT = TypeVar("RowsT", bound=Rows)


class GrowingWindow(SlidingWindow[RowsT]):
    """Consecutive rows in memory. A request loads only the rows that are missing.

    When the window moves forward, it keeps as many rows as the longest request since the last jump needs.

    Parameters:
        size: the number of rows of the series.
        load: makes rows `[start, stop)` of the series.
        join: see `SlidingWindow`.
        reach: called with the missing rows `[start, stop)`; returns up to which row, at least `stop`, to load now.
        budget: the memory shared with other windows.
        row_bytes: an estimate of the memory that one row takes.
    """

    def __init__(
        self,
        size: int,
        load: Callable[[int, int], RowsT],
        join: Callable[[Sequence[RowsT], int, int], RowsT],
        reach: Callable[[int, int], int],
        budget: MemoryBudget,
        row_bytes: int,
    ) -> None:
        super().__init__(size, load, budget, row_bytes, join=join)
        self._reach = reach
        self._longest = 0

    def _rows_to_load(self, current: tuple[int, int, RowsT] | None, start: int, stop: int) -> tuple[int, int]:
        if current is None or stop < current[0] or start > current[1]:
            self._longest = stop - start
            return start, self._reach(start, stop)
        self._longest = max(self._longest, stop - start)
        first = min(start, max(current[0], stop - self._longest))
        return first, self._reach(current[1], stop) if stop > current[1] else current[1]
