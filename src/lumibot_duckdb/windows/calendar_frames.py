"""Frames with a row for each time of a market's calendar, with or without a bar, read through windows.

Lumibot aligns the bars of a series with the minutes (or days) in which a market is open, carries the last close forward
to times without a bar, and the first open back to the beginning. Here that is done for one range of rows at a time,
from the stored bars of that range and the last one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import BarArrays, TimeRange
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.bar_table import BarTable, Values
from lumibot_duckdb.windows.series_with_returns import SeriesWithReturns
from lumibot_duckdb.windows.sorted_search import first_after
from lumibot_duckdb.windows.window import MemoryBudget

COLUMNS = ("open", "high", "low", "close", "volume")
NO_ROWS: Int64Array = np.empty(0, np.int64)

Read: TypeAlias = Callable[[TimeRange, Sequence[str]], BarArrays]
"""Reads the bars that start in a range."""

_FIRST_SEARCH = 64  # times searched for a bar at first; four times as many after each search without one
_MINUTE = 60


def minutes_of(schedule: pd.DataFrame) -> Int64Array:
    """Return the minutes (seconds, UTC) of trading days, given their `market_open` and `market_close`.

    The minute of the close is left out, except in a market that is open around the clock.
    """
    opens, closes = (_seconds(schedule[name]) for name in ("market_open", "market_close"))
    around_the_clock = np.array(
        [close.hour == 23 and close.minute == 59 for close in schedule["market_close"]], dtype=bool
    )
    counts = np.maximum((closes - opens) // _MINUTE + around_the_clock, 0)
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    minutes: Int64Array = np.repeat(opens, counts) + within * _MINUTE
    return minutes if bool(np.all(np.diff(minutes) > 0)) else np.sort(minutes)


def runs_of(times: Int64Array, step: int) -> list[tuple[int, int]]:
    """Return the first and the last time of each run of increasing times that are one step apart."""
    breaks = np.flatnonzero(np.diff(times) != step)
    first = np.concatenate([times[:1], times[breaks + 1]])
    last = np.concatenate([times[breaks], times[-1:]])
    return list(zip(first.tolist(), last.tolist(), strict=True))


def _seconds(times: pd.Series) -> Int64Array:
    seconds: Int64Array = pd.DatetimeIndex(times).as_unit("s").asi8
    return seconds


def index_of(seconds: Int64Array, zone: tzinfo) -> pd.DatetimeIndex:
    """Return times (seconds, UTC) as an index of the frames."""
    index = pd.DatetimeIndex(seconds * NANOSECONDS_PER_SECOND, tz="UTC", name="timestamp")
    local: pd.DatetimeIndex = index.tz_convert(zone)
    return local


class CalendarRows:
    """Rows at given times (seconds, UTC, increasing): first those of older bars, then those of a calendar.

    The calendar may be shared with other series and is not copied.
    """

    def __init__(self, history: Int64Array, calendar: Int64Array, zone: tzinfo) -> None:
        self.history, self.calendar = history, calendar
        self._zone = zone
        self._begins = int(calendar[0]) if len(calendar) else 2**62
        self._size = len(history) + len(calendar)

    def __len__(self) -> int:
        return self._size

    def row_at(self, time: int) -> int:
        """Return the last row at or before a time (ns); -1 before the first."""
        seconds = time // NANOSECONDS_PER_SECOND
        if seconds < self._begins:
            return first_after(self.history, seconds) - 1
        return len(self.history) + first_after(self.calendar, seconds) - 1

    def row_from(self, time: int) -> int:
        """Return the first row at or after a time (ns); `len(self)` past the last."""
        return self.row_at(time - 1) + 1

    def seconds(self, start: int, stop: int) -> Int64Array:
        """Return the times of rows `[start, stop)`."""
        before = len(self.history)
        if start >= before:
            return self.calendar[start - before : stop - before]
        if stop <= before:
            return self.history[start:stop]
        return np.concatenate([self.history[start:], self.calendar[: stop - before]])

    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the index of Lumibot's frames."""
        return index_of(self.seconds(start, stop), self._zone)


class CalendarFrames:
    """Makes the rows of a `CalendarRows` from stored bars.

    `grid` has all times that Lumibot aligns the series with: those of the calendar and those that it drops afterwards,
    from which it takes the first open.
    """

    def __init__(self, rows: CalendarRows, read: Read, grid: Int64Array) -> None:
        self._rows = rows
        self._read = read
        self._grid = grid
        self._first: float | None = None

    def series(self, budget: MemoryBudget) -> SeriesWithReturns:
        """Return the frame, read through windows."""
        return SeriesWithReturns(self._rows, self.load, budget, columns=COLUMNS)

    def load(self, start: int, stop: int) -> BarTable:
        """Return rows `[start, stop)`."""
        times = self._rows.seconds(start, stop)
        columns = self._aligned_with(times)
        before = len(self._rows.history)
        if stop > before:
            skipped = max(0, before - start)
            filled = {name: values[skipped:] for name, values in columns.items()}
            self._fill(filled, max(0, start - before))
        return BarTable(columns, self._rows.index(start, stop))

    def _aligned_with(self, times: Int64Array) -> dict[str, Values]:
        columns: dict[str, Values] = {name: np.full(len(times), np.nan) for name in COLUMNS}
        if len(times):
            bars = self._read(TimeRange(int(times[0]), int(times[-1]) + 1), COLUMNS)
            rows = times.searchsorted(bars.times)  # never beyond the last time, which ends the range
            on = times[rows] == bars.times
            for name, values in columns.items():
                values[rows[on]] = bars.columns[name][on]
        return columns

    def _fill(self, columns: dict[str, Values], first: int) -> None:
        """Fill columns in place. Their first row is number `first` of the calendar's times."""
        volume, close = columns["volume"], columns["close"]
        volume[np.isnan(volume)] = 0.0
        missing = np.isnan(close)
        if missing.any():
            latest = np.maximum.accumulate(np.where(missing, -1, np.arange(len(close))))
            carried = self._close_before(first) if missing[0] else np.nan
            close[:] = np.where(latest >= 0, close[latest], carried)
        opens = columns["open"]
        for name in ("open", "high", "low"):
            values = columns[name]
            np.copyto(values, close, where=np.isnan(values))
        leading = np.isnan(opens)
        if leading.any():
            for name in ("open", "high", "low", "close"):
                np.copyto(columns[name], self._first_open(), where=leading)

    def _close_before(self, row: int) -> float:
        """Return the close of the last bar at the first `row` times of the calendar; NaN if there is none."""
        calendar, stop, step = self._rows.calendar, row, _FIRST_SEARCH
        while stop > 0:
            begin = max(0, stop - step)
            found = self._values_on(calendar[begin:stop], "close")
            if len(found):
                return float(found[-1])
            stop, step = begin, step * 4
        return float("nan")

    def _first_open(self) -> float:
        """Return the open of the first bar on the grid; NaN if there is none."""
        if self._first is None:
            start, step = 0, _FIRST_SEARCH
            self._first = float("nan")
            while start < len(self._grid):
                found = self._values_on(self._grid[start : start + step], "open")
                if len(found):
                    self._first = float(found[0])
                    break
                start, step = start + step, step * 4
        return self._first

    def _values_on(self, times: Int64Array, column: str) -> Values:
        bars = self._read(TimeRange(int(times[0]), int(times[-1]) + 1), (column,))
        on = np.isin(bars.times, times, assume_unique=True)
        values: Values = bars.columns[column][on]
        return values
