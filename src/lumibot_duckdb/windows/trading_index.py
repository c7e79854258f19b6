"""The time index of a backtest, which its series share, and the days of that index.

Lumibot's pandas source aligns all series with one merged time index. Here that index exists once, and each series has a
range of its rows.
"""

from __future__ import annotations

import weakref
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.bars.outline import local_days, midnights
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, NEW_YORK, Int64Array

TradingDays: TypeAlias = "tuple[Int64Array, Int64Array, Int64Array]"
"""The first row, the midnight (ns, UTC) and the number (from 1970) of each local calendar day with rows."""

NANOSECONDS = {"minute": 60_000_000_000, "hour": 3_600_000_000_000, "day": 86_400_000_000_000}


def session_minutes(times: pd.DatetimeIndex, sessions: pd.DataFrame, until: pd.Timestamp) -> TradingIndex:
    """Return every minute from the first to the last bar of each day, up to `until`.

    `times` are sorted. `sessions` has a row for each of their days, indexed by its midnight, with its first and last
    time in `market_open` and `market_close`. As in `PandasData.clean_trading_times`, minutes count from the very first
    time.
    """
    anchor, minute = times[0].as_unit("ns").value, NANOSECONDS["minute"]
    opens, closes = (
        (sessions[name].to_numpy("M8[ns]").view(np.int64) - anchor) for name in ("market_open", "market_close")
    )
    firsts = -(-opens // minute) * minute + anchor
    lasts = np.minimum(closes, until.value - anchor) // minute * minute + anchor
    counts = np.maximum((lasts - firsts) // minute + 1, 0)
    has_minutes = counts > 0
    firsts, lasts, counts = firsts[has_minutes], lasts[has_minutes], counts[has_minutes]
    dates = pd.DatetimeIndex(sessions.index[has_minutes])
    steps = np.full(counts.sum(), minute)
    steps[np.cumsum(counts) - counts] = firsts - np.append(0, lasts)[:-1]
    np.cumsum(steps, out=steps)
    # pandas takes integers as UTC also with another time zone.
    index: pd.DatetimeIndex = pd.DatetimeIndex(steps, dtype=pd.DatetimeTZDtype("ns", times.tz), copy=False)
    index = _in_unit(index, times.unit)
    if len(steps) and steps[-1] - steps[0] == (len(steps) - 1) * minute:
        # pandas leaves a frequency on minutes without a gap
        index = pd.date_range(index[0], periods=len(steps), freq="min", unit=times.unit)
    numbers = _in_unit(dates.tz_localize(None), "ns").asi8 // NANOSECONDS["day"]
    days = (np.cumsum(counts) - counts, _in_unit(dates, "ns").asi8, numbers)
    return TradingIndex(index.rename(times.name), days_of_minutes=days)


def trading_days(times: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the first and the last time of each local day, as `PandasData.get_trading_days_pandas` does.

    `times` are sorted, and there is one at least.
    """
    first_rows, starts, _ = TradingIndex(times).days()
    days: pd.DatetimeIndex = pd.DatetimeIndex(starts, dtype=pd.DatetimeTZDtype("ns", times.tz), name="date")
    columns = {
        "market_open": times[first_rows],
        "market_close": times[np.append(first_rows[1:], len(times)) - 1],
    }
    described: pd.DataFrame = pd.DataFrame(columns, index=days.as_unit(times.unit))
    return described


def _in_unit(index: pd.DatetimeIndex, unit: Literal["s", "ms", "us", "ns"]) -> pd.DatetimeIndex:
    """Return an index with times of a unit. pandas copies the times of an index even if they have it."""
    return index if index.unit == unit else index.as_unit(unit)


class TradingIndex:
    """A sorted, unique, tz-aware index, with what every series on it needs and is derived once.

    `days_of_minutes` is what `days` returns for an index with every minute from the first to the last of each day.
    """

    _latest: ClassVar[weakref.ref[TradingIndex] | None] = None

    def __init__(self, index: pd.DatetimeIndex, days_of_minutes: TradingDays | None = None) -> None:
        self.index = index
        self.nanoseconds: Int64Array = _in_unit(index, "ns").asi8
        self._days = days_of_minutes
        self._has_every_minute = days_of_minutes is not None
        self._gaps: dict[int, int] | None = None

    @classmethod
    def of(cls, index: pd.DatetimeIndex) -> TradingIndex:
        """Return the trading index of this index object, the same one for all series of a backtest."""
        latest = cls._latest() if cls._latest is not None else None
        if latest is None or latest.index is not index:
            latest = cls(index)
            latest.share()
        return latest

    def share(self) -> None:
        """Let `of` return this object for its index, for as long as anything refers to it."""
        TradingIndex._latest = weakref.ref(self)

    def __len__(self) -> int:
        return len(self.nanoseconds)

    def days(self) -> TradingDays:
        """Return the first row, the midnight (ns, UTC) and the number of each local calendar day with rows."""
        if self._days is None and len(self) == 0:
            self._days = (self.nanoseconds, self.nanoseconds, self.nanoseconds)
        elif self._days is None:
            midnights, numbers = self._calendar_days()
            rows = np.append(self.nanoseconds.searchsorted(midnights), len(self))
            traded = np.flatnonzero(np.diff(rows))
            self._days = (rows[traded], midnights[traded], numbers[traded])
        return self._days

    def _calendar_days(self) -> tuple[Int64Array, Int64Array]:
        """Return the midnight (ns, UTC) and the number of each local day from that of the first row to the last."""
        if str(self.index.tz) == NEW_YORK.key:
            first, last = local_days(self.nanoseconds[[0, -1]] // NANOSECONDS_PER_SECOND).tolist()
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
        gaps = np.diff(self.nanoseconds[start : stop + 1])
        last_rows = self.days()[0][1:] - 1
        ends = last_rows[slice(*last_rows.searchsorted((start, start + len(gaps))))] - start
        gaps[ends[gaps[ends] > NANOSECONDS["hour"]]] = 0
        return gaps

    def _all_gaps(self) -> dict[int, int]:
        """Return how often each spacing within sessions occurs."""
        if self._gaps is None:
            if self._has_every_minute:
                ends = self.days()[0][1:]
                gaps = self.nanoseconds[ends] - self.nanoseconds[ends - 1]
                gaps[gaps > NANOSECONDS["hour"]] = 0
            else:
                gaps = self._session_gaps(0, len(self))
            others = gaps[gaps != NANOSECONDS["minute"]]  # sorting the many minutes would take most of the time
            values, counts = np.unique(others, return_counts=True)
            self._gaps = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
            self._gaps[NANOSECONDS["minute"]] = max(0, len(self) - 1) - len(others)
        return self._gaps
