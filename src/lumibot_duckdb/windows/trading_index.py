"""The time index of a backtest, which its series share, and the days of that index.

Lumibot's pandas source aligns all series with one merged time index. Here that index exists once, and each series has a
range of its rows.
"""

from __future__ import annotations

import weakref
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.times import Int64Array

NANOSECONDS = {"minute": 60_000_000_000, "hour": 3_600_000_000_000, "day": 86_400_000_000_000}


def session_minutes(times: pd.DatetimeIndex, sessions: pd.DataFrame, until: pd.Timestamp) -> pd.DatetimeIndex:
    """Return every minute from the first to the last bar of each day, up to `until`.

    `times` are sorted. `sessions` has a row for each of their days, with its first and last time in `market_open` and
    `market_close`. As in `PandasData.clean_trading_times`, minutes count from the very first time.
    """
    anchor, minute = times[0].as_unit("ns").value, NANOSECONDS["minute"]
    opens, closes = (
        (pd.DatetimeIndex(sessions[name]).as_unit("ns").asi8 - anchor) for name in ("market_open", "market_close")
    )
    firsts = -(-opens // minute) * minute + anchor
    lasts = np.minimum(closes, until.value - anchor) // minute * minute + anchor
    counts = np.maximum((lasts - firsts) // minute + 1, 0)
    firsts, lasts, counts = firsts[counts > 0], lasts[counts > 0], counts[counts > 0]
    steps = np.full(counts.sum(), minute)
    steps[np.cumsum(counts) - counts] = firsts - np.append(0, lasts)[:-1]
    np.cumsum(steps, out=steps)
    # pandas takes integers as UTC also with another time zone.
    index: pd.DatetimeIndex = pd.DatetimeIndex(steps, dtype=pd.DatetimeTZDtype("ns", times.tz), copy=False)
    index = _in_unit(index, times.unit)
    if len(steps) and steps[-1] - steps[0] == (len(steps) - 1) * minute:
        # pandas leaves a frequency on minutes without a gap
        index = pd.date_range(index[0], periods=len(steps), freq="min", unit=times.unit)
    minutes: pd.DatetimeIndex = index.rename(times.name)
    return minutes


def trading_days(times: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the first and the last time of each local day, as `PandasData.get_trading_days_pandas` does.

    `times` are sorted, and there is one at least.
    """
    first_rows, midnights, _ = TradingIndex.of(times).days()
    days: pd.DatetimeIndex = pd.DatetimeIndex(midnights, dtype=pd.DatetimeTZDtype("ns", times.tz), name="date")
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
    """A sorted, unique, tz-aware index, with what every series on it needs and is derived once."""

    _latest: ClassVar[weakref.ref[TradingIndex] | None] = None

    def __init__(self, index: pd.DatetimeIndex) -> None:
        self.index = index
        self.nanoseconds: Int64Array = _in_unit(index, "ns").asi8
        self._days: tuple[Int64Array, Int64Array, Int64Array] | None = None
        self._gaps: dict[int, int] | None = None

    @classmethod
    def of(cls, index: pd.DatetimeIndex) -> TradingIndex:
        """Return the trading index of this index object, the same one for all series of a backtest."""
        latest = cls._latest() if cls._latest is not None else None
        if latest is None or latest.index is not index:
            latest = cls(index)
            cls._latest = weakref.ref(latest)
        return latest

    def __len__(self) -> int:
        return len(self.nanoseconds)

    def days(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return the first row, the midnight (ns, UTC) and the number of each local calendar day with rows."""
        if self._days is None and len(self) == 0:
            self._days = (self.nanoseconds, self.nanoseconds, self.nanoseconds)
        elif self._days is None:
            first, last = self.index[[0, -1]].tz_localize(None).normalize()
            days = pd.date_range(first, last, freq="D", unit="ns")
            midnights = days.tz_localize(self.index.tz, ambiguous=True, nonexistent="shift_forward").asi8
            rows = np.append(self.nanoseconds.searchsorted(midnights), len(self))
            traded = np.flatnonzero(np.diff(rows))
            self._days = (rows[traded], midnights[traded], days.asi8[traded] // NANOSECONDS["day"])
        return self._days

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
            gaps = self._session_gaps(0, len(self))
            others = gaps[gaps != NANOSECONDS["minute"]]  # sorting the many minutes would take most of the time
            values, counts = np.unique(others, return_counts=True)
            self._gaps = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
            self._gaps[NANOSECONDS["minute"]] = len(gaps) - len(others)
        return self._gaps
