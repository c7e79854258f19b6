"""The bar times of a series by row, read in pages. Only the time at which each page begins is always in memory.

The pages of a series with a stored outline are whole days.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.outline import Outline
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.series_view import SeriesView
from lumibot_duckdb.windows.sorted_search import first_after

PAGE_ROWS = 1_024

Page: TypeAlias = "tuple[int, int, Int64Array]"


class PagedTimes:
    """Rows of a series and their times (nanoseconds, UTC, increasing).

    Two pages are kept: the latest, and the one before it, since requests for the past alternate with the present.
    """

    def __init__(self, view: SeriesView) -> None:
        outline = view.outline()
        self._view = view
        self._size = outline.rows
        self._last = outline.ends[1] if outline.ends is not None else 0
        self._page_rows, self._page_times = pages(outline, PAGE_ROWS)
        self._all_times = outline.times  # until the first page is read
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
        place = first_after(self._page_times, seconds) - 1
        if place < 0:
            return -1
        first, _, times = self._page_of(self._page_rows.item(place))
        return first + first_after(times, time) - 1

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
        first = first_after(self._page_rows, start) - 1
        after = first_after(self._page_rows, stop - 1)
        end = self._page_times.item(after) if after < len(self._page_times) else self._last + 1
        return self._page_rows.item(first), TimeRange(self._page_times.item(first), end)

    def _page_of(self, row: int) -> Page:
        latest, other = self._pages
        if latest[0] <= row < latest[1]:
            return latest
        if other[0] <= row < other[1]:
            self._pages = (other, latest)
            return other
        first, within = self.covering(row, row + 1)
        known, self._all_times = self._all_times, None
        known = None if known is None else known[slice(*known.searchsorted((within.start, within.end)))]
        seconds = self._view.bars(within, columns=()).times if known is None else known
        page = (first, first + len(seconds), seconds * NANOSECONDS_PER_SECOND)
        self._pages = (page, latest)
        return page


def pages(outline: Outline, rows: int) -> tuple[Int64Array, Int64Array]:
    """Return the first row and the start of the first bar of each page of about so many rows."""
    if outline.times is not None:
        first_rows = np.arange(0, len(outline.times), rows)
        return first_rows, outline.times[first_rows]
    days = outline.days
    first_rows = np.cumsum(days.bars) - days.bars
    begin = np.flatnonzero(np.diff(first_rows // rows, prepend=-1))
    return first_rows[begin], days.first[begin]
