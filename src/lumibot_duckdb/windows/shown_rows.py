"""Counts how many rows of a series a strategy has been shown, each row once."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right

from lumibot_duckdb.windows.window import WindowStatistics


class ShownRows:
    """The rows of one series that requests have included; those that larger bars are made of count, too."""

    def __init__(self, statistics: WindowStatistics) -> None:
        self._statistics = statistics
        self._starts: list[int] = []  # of disjoint ranges that do not touch, sorted
        self._stops: list[int] = []
        self._latest = (0, 0)
        self._guard = threading.Lock()

    def add(self, start: int, stop: int) -> None:
        """Count those of rows `[start, stop)` that were not shown before."""
        latest = self._latest
        if start < latest[0] or stop > latest[1]:
            self._add(start, stop)

    def _add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        with self._guard:
            # The known ranges from `low` to `high` overlap or touch the new one.
            low, high = bisect_left(self._stops, start), bisect_right(self._starts, stop)
            known = sum(self._stops[low:high]) - sum(self._starts[low:high])
            first, last = min([start, *self._starts[low:high]]), max([stop, *self._stops[low:high]])
            self._starts[low:high], self._stops[low:high] = [first], [last]
            self._latest = (first, last)
            self._statistics.rows_shown += last - first - known
