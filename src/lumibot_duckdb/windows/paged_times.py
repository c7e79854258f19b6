"""The bar times of a series by row, read in pages. Only the time at which each page begins is always in memory."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.series_view import SeriesView

PAGE_ROWS = 1_024

Page: TypeAlias = "tuple[int, int, Int64Array]"


class PagedTimes:
    """Rows of a series and their times (nanoseconds, UTC, increasing).

    Two pages are kept: the latest, and the one before it, since requests for the past alternate with the present.
    """

    def __init__(self, view: SeriesView) -> None:
        times = view.times()
        self._view = view
        self._size = len(times)
        self._page_times = times[::PAGE_ROWS].copy()
        self._last = int(times[-1]) if self._size else 0
        self._all_times: Int64Array | None = times  # until the first page is read
        no_page: Page = (0, 0, np.empty(0, np.int64))
        self._pages: tuple[Page, Page] = (no_page, no_page)

    def __len__(self) -> int:
        return self._size

    def time(self, row: int) -> int:
        """Return the time of one row, `0 <= row < len(self)`."""
        first, _, times = self._page_of(row)
        return times.item(row - first)

    def row_at(self, time: int) -> int:
        """Return the last row at or before a time; -1 before the first."""
        seconds = time // NANOSECONDS_PER_SECOND
        if seconds >= self._last:
            return self._size - 1
        place = int(self._page_times.searchsorted(seconds, side="right")) - 1
        if place < 0:
            return -1
        first, _, times = self._page_of(place * PAGE_ROWS)
        return first + int(times.searchsorted(time, side="right")) - 1

    def row_from(self, time: int) -> int:
        """Return the first row at or after a time; `len(self)` past the last."""
        return self.row_at(time - 1) + 1

    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the index of the series' own frame."""
        if start >= stop:
            return self._view.index_of(np.empty(0, np.int64))
        first, within = self.covering(start, stop)
        times = self._view.bars(within, columns=()).times
        return self._view.index_of(times[start - first : stop - first])

    def covering(self, start: int, stop: int) -> tuple[int, TimeRange]:
        """Return the first row of the pages that hold rows `[start, stop)` (at least one), and their range of time."""
        first, after = start // PAGE_ROWS, (stop - 1) // PAGE_ROWS + 1
        end = self._page_times.item(after) if after < len(self._page_times) else self._last + 1
        return first * PAGE_ROWS, TimeRange(self._page_times.item(first), end)

    def _page_of(self, row: int) -> Page:
        latest, other = self._pages
        if latest[0] <= row < latest[1]:
            return latest
        if other[0] <= row < other[1]:
            self._pages = (other, latest)
            return other
        first, within = self.covering(row, row + 1)
        known, self._all_times = self._all_times, None
        seconds = self._view.bars(within, columns=()).times if known is None else known[first : first + PAGE_ROWS]
        page = (first, first + len(seconds), seconds * NANOSECONDS_PER_SECOND)
        self._pages = (page, latest)
        return page
