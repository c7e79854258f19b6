"""The time index of a backtest, which its series share, and the days of that index.

Lumibot's pandas source aligns all series with one merged time index. Here that index exists once, and each series has a
range of its rows.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.bars.outline import local_days, midnights
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, NEW_YORK, Int64Array
from lumibot_duckdb.windows.sorted_search import first_after

TradingDays: TypeAlias = "tuple[Int64Array, Int64Array, Int64Array]"
"""The first row, the midnight (ns, UTC) and the number (from 1970) of each local calendar day with rows."""

NANOSECONDS = {"minute": 60_000_000_000, "hour": 3_600_000_000_000, "day": 86_400_000_000_000}
_MINUTE = NANOSECONDS["minute"]


def session_minutes(times: pd.DatetimeIndex, sessions: pd.DataFrame, until: pd.Timestamp) -> MinuteIndex:
    """Return every minute from the first to the last bar of each day, up to `until`.

    `times` are sorted. `sessions` has a row for each of their days, indexed by its midnight, with its first and last
    time in `market_open` and `market_close`. As in `PandasData.clean_trading_times`, minutes count from the very first
    time.
    """
    anchor = times[0].as_unit("ns").value
    opens, closes = (
        (sessions[name].to_numpy("M8[ns]").view(np.int64) - anchor) for name in ("market_open", "market_close")
    )
    firsts = -(-opens // _MINUTE) * _MINUTE + anchor
    lasts = np.minimum(closes, until.value - anchor) // _MINUTE * _MINUTE + anchor
    has_minutes = lasts >= firsts
    dates = pd.DatetimeIndex(sessions.index[has_minutes])
    numbers = _in_unit(dates.tz_localize(None), "ns").asi8 // NANOSECONDS["day"]
    return MinuteIndex(firsts[has_minutes], lasts[has_minutes], (_in_unit(dates, "ns").asi8, numbers), times)


def trading_days(index: TradingIndex) -> pd.DataFrame:
    """Return the first and the last time of each local day, as `PandasData.get_trading_days_pandas` does.

    The index has one time at least.
    """
    firsts, lasts = index.day_bounds()
    days: pd.DatetimeIndex = pd.DatetimeIndex(
        index.days()[1], dtype=pd.DatetimeTZDtype("ns", firsts.tz), name="date"
    ).as_unit(firsts.unit)
    described: pd.DataFrame = pd.DataFrame({"market_open": firsts, "market_close": lasts}, index=days)
    return described


def _in_unit(index: pd.DatetimeIndex, unit: Literal["s", "ms", "us", "ns"]) -> pd.DatetimeIndex:
    """Return an index with times of a unit. pandas copies the times of an index even if they have it."""
    return index if index.unit == unit else index.as_unit(unit)


class TradingIndex:
    """A sorted, unique, tz-aware index, with what every series on it needs and is derived once."""

    _latest: ClassVar[weakref.ref[TradingIndex] | None] = None

    def __init__(self, index: pd.DatetimeIndex) -> None:
        self.index = index
        self._nanoseconds: Int64Array = _in_unit(index, "ns").asi8
        self._days: TradingDays | None = None
        self._gaps: dict[int, int] | None = None

    @classmethod
    def of(cls, index: pd.DatetimeIndex) -> TradingIndex:
        """Return the trading index of this index object, the same one for all series of a backtest."""
        latest = cls._latest() if cls._latest is not None else None
        if latest is None or not latest.is_of(index):
            latest = cls(index)
            latest.share()
        return latest

    def share(self) -> None:
        """Let `of` return this object for its index, for as long as anything refers to it."""
        TradingIndex._latest = weakref.ref(self)

    def is_of(self, index: pd.DatetimeIndex) -> bool:
        """Whether this describes an index object."""
        return self.index is index

    def __len__(self) -> int:
        return len(self._nanoseconds)

    def time_of(self, first: int) -> Callable[[int], int]:
        """Return a function of a row, counted from `first`, that returns its time (ns, UTC)."""
        return self._nanoseconds[first:].item

    def row_at(self, time: int) -> int:
        """Return the last row at or before a time (ns, UTC); -1 before the first."""
        return first_after(self._nanoseconds, time) - 1

    def nanoseconds(self, start: int, stop: int) -> Int64Array:
        """Return the times of rows `[start, stop)`."""
        return self._nanoseconds[start:stop]

    def rows(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the index."""
        rows: pd.DatetimeIndex = self.index[start:stop]
        return rows

    def day_bounds(self) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
        """Return the first and the last time of each local calendar day with rows."""
        first_rows = self.days()[0]
        return self.index[first_rows], self.index[np.append(first_rows[1:], len(self)) - 1]

    def days(self) -> TradingDays:
        """Return the first row, the midnight (ns, UTC) and the number of each local calendar day with rows."""
        if self._days is None and len(self) == 0:
            self._days = (self._nanoseconds, self._nanoseconds, self._nanoseconds)
        elif self._days is None:
            midnights, numbers = self._calendar_days()
            rows = np.append(self._nanoseconds.searchsorted(midnights), len(self))
            traded = np.flatnonzero(np.diff(rows))
            self._days = (rows[traded], midnights[traded], numbers[traded])
        return self._days

    def _calendar_days(self) -> tuple[Int64Array, Int64Array]:
        """Return the midnight (ns, UTC) and the number of each local day from that of the first row to the last."""
        if str(self.index.tz) == NEW_YORK.key:
            first, last = local_days(self._nanoseconds[[0, -1]] // NANOSECONDS_PER_SECOND).tolist()
            numbers = np.arange(first, last + 1)
            return midnights(numbers) * NANOSECONDS_PER_SECOND, numbers
        begin, end = self.index[[0, -1]].tz_localize(None).normalize()
        days = pd.date_range(begin, end, freq="D", unit="ns")
        starts = days.tz_localize(self.index.tz, ambiguous=True, nonexistent="shift_forward").asi8
        return starts, days.asi8 // NANOSECONDS["day"]

    def bar_length(self, start: int, stop: int, unit: str) -> int | None:
        """Return the nanoseconds that an intraday bar of rows `[start, stop)` takes to close; None for days.

        By Lumibot's rule (`lumibot.entities.data`) this is the larger of the nominal step and the most common spacing
        within sessions; of equally common ones, the smallest.
        """
        if unit not in ("minute", "hour"):
            return None
        counts = dict(self._all_gaps())
        for outside in (self._session_gaps(0, start), self._session_gaps(max(start, stop - 1), len(self))):
            for value, count in zip(*np.unique(outside, return_counts=True), strict=True):
                counts[int(value)] -= int(count)
        counts.pop(0, None)
        common = min(counts, key=lambda value: (-counts[value], value), default=0)
        return max(NANOSECONDS[unit], common if counts.get(common, 0) > 0 else 0)

    def _session_gaps(self, start: int, stop: int) -> Int64Array:
        """Return the time between each row of `[start, stop)` and the next; 0 where the next begins a new session."""
        gaps = np.diff(self.nanoseconds(start, min(stop + 1, len(self))))
        last_rows = self.days()[0][1:] - 1
        ends = last_rows[slice(*last_rows.searchsorted((start, start + len(gaps))))] - start
        gaps[ends[gaps[ends] > NANOSECONDS["hour"]]] = 0
        return gaps

    def _all_gaps(self) -> dict[int, int]:
        """Return how often each spacing within sessions occurs."""
        if self._gaps is None:
            gaps = self._unlike_minutes()
            # Sorting the many minutes would take most of the time.
            values, counts = np.unique(gaps[gaps != _MINUTE], return_counts=True)
            self._gaps = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
            self._gaps[_MINUTE] = max(0, len(self) - 1) - sum(self._gaps.values())
        return self._gaps

    def _unlike_minutes(self) -> Int64Array:
        """Return the spacings within sessions, 0 between them; some or all of those of a minute may be missing."""
        return self._session_gaps(0, len(self))


class MinuteIndex(TradingIndex):
    """Every minute from the first to the last one of each day. Twenty years are five million, which stay unmade.

    Parameters:
        firsts: the first minute of each day (ns, UTC), increasing.
        lasts: the last one, whole minutes later.
        days: the midnight (ns, UTC) and the number of each day.
        like: the index has the time zone, the unit and the name of this one.
    """

    def __init__(self, firsts: Int64Array, lasts: Int64Array, days: tuple[Int64Array, Int64Array], like: Any) -> None:
        counts = (lasts - firsts) // _MINUTE + 1
        self._firsts, self._lasts = firsts, lasts
        self._first_rows = np.cumsum(counts) - counts
        self._days = (self._first_rows, *days)
        self._size = int(counts.sum())
        self._like = like[:0]
        self._gaps = None
        self._is_unbroken = self._size > 0 and int(lasts[-1] - firsts[0]) == (self._size - 1) * _MINUTE

    @cached_property
    def index(self) -> pd.DatetimeIndex:  # type: ignore[override]
        """All minutes."""
        return self.rows(0, self._size)

    def is_of(self, index: pd.DatetimeIndex) -> bool:
        """Whether this describes an index object."""
        return vars(self).get("index") is index

    def __len__(self) -> int:
        return self._size

    def time_of(self, first: int) -> Callable[[int], int]:
        """Return a function of a row, counted from `first`, that returns its time (ns, UTC)."""
        latest = (0, 0, 0)  # the rows of a day, and the time of the first; replaced as a whole, for other threads

        def time(row: int) -> int:
            nonlocal latest
            begin, end, start = latest
            if not begin <= row < end:
                place = self._day_of(first + row)
                begin, start = self._first_rows.item(place) - first, self._firsts.item(place)
                latest = (begin, begin + (self._lasts.item(place) - start) // _MINUTE + 1, start)
            return start + (row - begin) * _MINUTE

        return time

    def _day_of(self, row: int) -> int:
        return first_after(self._first_rows, row) - 1

    def row_at(self, time: int) -> int:
        """Return the last row at or before a time (ns, UTC); -1 before the first."""
        place = first_after(self._firsts, time) - 1
        if place < 0:
            return -1
        within = min(time, self._lasts.item(place)) - self._firsts.item(place)
        row: int = self._first_rows.item(place) + within // _MINUTE
        return row

    def nanoseconds(self, start: int, stop: int) -> Int64Array:
        """Return the times of rows `[start, stop)`."""
        if start >= stop:
            return np.empty(0, np.int64)
        begin, end = self._day_of(start), self._day_of(stop - 1) + 1
        rows, firsts, lasts = (values[begin:end] for values in (self._first_rows, self._firsts, self._lasts))
        # The steps from each row to the next add up to the times.
        steps = np.full(stop - start, _MINUTE)
        steps[0] = firsts[0] + (start - rows[0]) * _MINUTE
        steps[rows[1:] - start] = firsts[1:] - lasts[:-1]
        return np.cumsum(steps, out=steps)

    def rows(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the index."""
        like = self._like
        if self._is_unbroken:
            # pandas leaves a frequency on minutes without a gap
            begin = pd.Timestamp(self._firsts.item(0) + start * _MINUTE, tz=like.tz)
            index = pd.date_range(begin, periods=stop - start, freq="min", unit=like.unit)
        else:
            # pandas takes integers as UTC also with another time zone.
            times = self.nanoseconds(start, stop)
            index = pd.DatetimeIndex(times, dtype=pd.DatetimeTZDtype("ns", like.tz), copy=False)
        named: pd.DatetimeIndex = _in_unit(index, like.unit).rename(like.name)
        return named

    def day_bounds(self) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
        """Return the first and the last minute of each local calendar day with rows."""
        zoned = pd.DatetimeTZDtype("ns", self._like.tz)
        bounds = (pd.DatetimeIndex(times, dtype=zoned) for times in (self._firsts, self._lasts))
        firsts, lasts = (_in_unit(times, self._like.unit).rename(self._like.name) for times in bounds)
        return firsts, lasts

    def _unlike_minutes(self) -> Int64Array:
        gaps = self._firsts[1:] - self._lasts[:-1]
        gaps[gaps > NANOSECONDS["hour"]] = 0
        return gaps
