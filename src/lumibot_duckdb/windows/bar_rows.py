"""The rows of one series in a backtest: numbered from 0, each with the time of its bar, grouped by local day.

The rows of a series that is merged with others are those of their shared time index (`SharedRows`). The rows of any
other series are its stored bars (`StoredRows`). Only an outline of those is in memory: the first row, the first bar and
the last bar of each day. The times in between are read in pages.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.outline import Outline, midnights
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.series_view import SeriesView
from lumibot_duckdb.windows.sorted_search import first_after, first_from
from lumibot_duckdb.windows.trading_index import NANOSECONDS, TradingIndex
from lumibot_duckdb.windows.window import MemoryBudget

PAGE_ROWS = 8_192
"""Rows whose times are read together, rounded to whole days."""

PAGES = 4
"""Pages kept for one series: for the backtest's time, and for the times that it looks back to."""


class Day(NamedTuple):
    """The rows `[first, stop)` of a local calendar day, its midnight (ns, UTC), and its number in days since 1970."""

    first: int
    stop: int
    midnight: int
    number: int


class BarRows(ABC):
    """Rows of a series and their times (nanoseconds, UTC, increasing)."""

    time: Callable[[int], int]
    """The time of one row, `0 <= row < len(self)`."""

    def __init__(self, days: tuple[Int64Array, Int64Array, Int64Array], size: int, length: int | None) -> None:
        self._size = size
        self._day_rows = np.append(days[0], size)
        self._midnights, self._numbers = days[1], days[2]
        self._recent: tuple[Day, ...] = ()
        self.bar_length = length
        """Nanoseconds until an intraday bar has closed, by Lumibot's rule; None for days."""

    def __len__(self) -> int:
        return self._size

    @abstractmethod
    def row_at(self, time: int) -> int:
        """Return the last row at or before a time; -1 before the first."""

    @abstractmethod
    def nanoseconds(self, start: int, stop: int) -> Int64Array:
        """Return the times of rows `[start, stop)`."""

    @abstractmethod
    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the index of Lumibot's frames."""

    @abstractmethod
    def covering(self, start: int, stop: int) -> TimeRange:
        """Return a range of time that includes rows `[start, stop)`, and at most the rest of their days."""

    def row_from(self, time: int) -> int:
        """Return the first row at or after a time; `len(self)` past the last."""
        return self.row_at(time - 1) + 1

    def day(self, row: int) -> Day:
        """Return the local calendar day of a row."""
        for known in self._recent:
            if known.first <= row < known.stop:
                return known
        place = first_after(self._day_rows, row) - 1
        first, stop = self._day_rows[place : place + 2].tolist()
        found = Day(first, stop, self._midnights.item(place), self._numbers.item(place))
        self._recent = (found, *self._recent[:1])
        return found

    def day_numbers(self, start: int, stop: int) -> Int64Array:
        """Return the number of the local calendar day of each row of `[start, stop)`."""
        first, last = (first_after(self._day_rows, row) - 1 for row in (start, max(start, stop - 1)))
        edges = self._day_rows[first : last + 2].clip(start, stop)
        return np.repeat(self._numbers[first : last + 1], np.diff(edges))


class SharedRows(BarRows):
    """Rows `[first, stop)` of the index that several series are aligned with."""

    def __init__(self, trading_index: TradingIndex, first: int, stop: int, timestep: str) -> None:
        first_rows, midnights, numbers = trading_index.days()
        begin = max(0, first_after(first_rows, first) - 1)
        end = first_from(first_rows, stop)
        days = ((first_rows[begin:end] - first).clip(0), midnights[begin:end], numbers[begin:end])
        super().__init__(days, stop - first, trading_index.bar_length(first, stop, timestep))
        self._shared = trading_index  # keeps it alive, so that other series of the backtest share it
        self._first = first
        self.time = trading_index.time_of(first)

    def row_at(self, time: int) -> int:
        """Return the last row at or before a time; -1 before the first."""
        return min(max(self._shared.row_at(time) - self._first, -1), self._size - 1)

    def nanoseconds(self, start: int, stop: int) -> Int64Array:
        """Return the times of rows `[start, stop)`."""
        return self._shared.nanoseconds(self._first + start, self._first + stop)

    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the shared index."""
        return self._shared.rows(self._first + start, self._first + stop)

    def covering(self, start: int, stop: int) -> TimeRange:
        """Return the range of time of rows `[start, stop)`."""
        return TimeRange(self.time(start) // NANOSECONDS_PER_SECOND, self.time(stop - 1) // NANOSECONDS_PER_SECOND + 1)


class StoredRows(BarRows):
    """The stored bars of a series that is not merged with others."""

    def __init__(self, view: SeriesView, timestep: str, budget: MemoryBudget) -> None:
        outline = view.outline()
        days = outline.days
        first_rows = np.cumsum(days.bars) - days.bars
        starts = midnights(days.numbers) * NANOSECONDS_PER_SECOND
        super().__init__((first_rows, starts, days.numbers), outline.rows, bar_length(view, outline, timestep))
        self._view = view
        self._budget = budget
        self._first_times, self._last_times = days.first, days.last
        pages = np.flatnonzero(np.diff(first_rows // PAGE_ROWS, prepend=-1))
        self._page_rows = np.append(first_rows[pages], outline.rows)
        self._pages: OrderedDict[int, Int64Array] = OrderedDict()
        self._page: tuple[int, int, Int64Array] = (0, 0, np.empty(0, np.int64))
        self._all_times = outline.times  # until the first page is read
        self._guard = threading.Lock()
        self.last_used = 0
        self.time = self._time
        budget.register(self)

    @property
    def nbytes(self) -> int:
        """Bytes of the pages in memory."""
        return sum(page.nbytes for page in list(self._pages.values()))

    def drop(self) -> None:
        """Free all pages. They are read again when they are needed."""
        with self._guard:
            self._pages.clear()
            self._page = (0, 0, np.empty(0, np.int64))

    def _time(self, row: int) -> int:
        first, stop, times = self._page
        if not first <= row < stop:
            first, stop, times = self._turn_to(row)
        return times.item(row - first)

    def _turn_to(self, row: int) -> tuple[int, int, Int64Array]:
        """Make the page of a row the current one."""
        place = first_after(self._page_rows, row) - 1
        first, stop = self._page_rows[place : place + 2].tolist()
        with self._guard:
            times = self._pages.get(place)
            if times is not None:
                self._pages.move_to_end(place)
        if times is None:
            known, self._all_times = self._all_times, None
            seconds = (
                self._view.bars(self.covering(first, stop), columns=()).times if known is None else known[first:stop]
            )
            times = seconds * NANOSECONDS_PER_SECOND
            with self._guard:
                self._pages[place] = times
                while len(self._pages) > PAGES:
                    self._pages.popitem(last=False)
            self._budget.record_load(self, 0)
        self.last_used = self._budget.clock
        self._page = page = (first, stop, times)
        return page

    def row_at(self, time: int) -> int:
        """Return the last row at or before a time; -1 before the first."""
        seconds = time // NANOSECONDS_PER_SECOND
        place = first_after(self._first_times, seconds) - 1
        if place < 0:
            return -1
        if seconds >= self._last_times.item(place):
            return int(self._day_rows[place + 1]) - 1
        first, _, times = self._page_of(self._day_rows.item(place))
        return first + first_after(times, time) - 1

    def _page_of(self, row: int) -> tuple[int, int, Int64Array]:
        page = self._page
        return page if page[0] <= row < page[1] else self._turn_to(row)

    def nanoseconds(self, start: int, stop: int) -> Int64Array:
        """Return the times of rows `[start, stop)`."""
        if start >= stop:
            return np.empty(0, np.int64)
        first, end, times = self._page_of(start)
        if stop <= end:
            paged: Int64Array = times[start - first : stop - first]
            return paged
        days = self.day(start).first
        found = self._view.bars(self.covering(start, stop), columns=()).times
        wanted: Int64Array = found[start - days : stop - days] * NANOSECONDS_PER_SECOND
        return wanted

    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the index of the series' own frame."""
        return self._view.index_of(self.nanoseconds(start, stop) // NANOSECONDS_PER_SECOND)

    def covering(self, start: int, stop: int) -> TimeRange:
        """Return the range of time of the days of rows `[start, stop)`."""
        first, last = (first_after(self._day_rows, row) - 1 for row in (start, max(start, stop - 1)))
        return TimeRange(self._first_times.item(first), self._last_times.item(last) + 1)


def bar_length(view: SeriesView, outline: Outline, unit: str) -> int | None:
    """Return the nanoseconds that an intraday bar takes to close, by the rule of `TradingIndex.bar_length`."""
    if unit not in ("minute", "hour"):
        return None
    on_minute = view.facts.on_minute
    common = outline.most_common_spacing(lambda within: view.bars(within, columns=()).times, on_minute=on_minute)
    return max(NANOSECONDS[unit], common * NANOSECONDS_PER_SECOND)
