"""The time index of a backtest: every bar time that its series share, their days, and buckets of them.

Lumibot's pandas source lays all series on one merged time index. Here that index exists once, and each series is a
range of its rows. Buckets (five minutes, hours, days) are facts of the index alone, so they too are computed once.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.backtesting.bar_table import slice_index

Int64Array: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

NANOSECONDS = {"minute": 60_000_000_000, "hour": 3_600_000_000_000, "day": 86_400_000_000_000}
FREQUENCY_CODES = {"minute": "min", "hour": "h", "day": "D"}


def session_minutes(times: pd.DatetimeIndex, sessions: pd.DataFrame, until: pd.Timestamp) -> pd.DatetimeIndex:
    """Return every minute from the first to the last bar of each day, up to `until`.

    `times` are sorted; `sessions` has a row for each of their days, with its first and last time in `market_open` and
    `market_close`. Minutes count from the very first time, as `PandasData.clean_trading_times` has it.
    """
    nanoseconds = times.as_unit("ns").asi8
    anchor, minute = int(nanoseconds[0]), NANOSECONDS["minute"]
    opens, closes = (
        (pd.DatetimeIndex(sessions[name]).as_unit("ns").asi8 - anchor) for name in ("market_open", "market_close")
    )
    firsts = -(-opens // minute)
    lasts = np.minimum(closes, until.value - anchor) // minute
    counts = [np.arange(first, last + 1) for first, last in zip(firsts, lasts, strict=True) if first <= last]
    steps = np.concatenate(counts) if counts else np.empty(0, dtype=np.int64)
    index = pd.DatetimeIndex(steps * minute + anchor, tz="UTC").as_unit(times.unit).tz_convert(times.tz)
    if len(steps) and steps[-1] - steps[0] == len(steps) - 1:
        index = pd.date_range(index[0], periods=len(steps), freq="min", unit=times.unit)  # as pandas leaves it there
    minutes: pd.DatetimeIndex = index.rename(times.name)
    return minutes


@dataclass(frozen=True, slots=True)
class BucketGrid:
    """The non-empty buckets of an index: `labels` (nanoseconds, UTC) and the row at which each begins.

    `first_rows` has one entry more than `labels`: the number of rows. `of_row` has each row's bucket. `steps` numbers
    the labels on the unbroken grid of all buckets, empty ones included, so two buckets are neighbours when their steps
    differ by one. `index` and `unbroken` are the labels with and without the gaps.
    """

    labels: Int64Array
    first_rows: Int64Array
    of_row: np.ndarray[Any, np.dtype[np.int32]]
    steps: Int64Array
    index: pd.DatetimeIndex
    unbroken: pd.DatetimeIndex

    def stride(self, first: int, last: int) -> int:
        """Return by how many steps the buckets from `first` to `last` follow each other; 0 if not evenly."""
        steps = self.steps
        if last <= first:
            return 1
        stride = steps.item(first + 1) - steps.item(first)
        if steps.item(last) - steps.item(first) != stride * (last - first):
            return 0
        return stride if stride == 1 or bool(np.all(np.diff(steps[first : last + 1]) == stride)) else 0

    def label_index(self, numbers: Int64Array, stride: int) -> pd.DatetimeIndex:
        """Return the labels of these buckets.

        Where buckets followed each other evenly (`stride` not 0), with the frequency that pandas leaves on the result
        of `resample` after it dropped the empty ones.
        """
        if len(numbers) == 0:
            none: pd.DatetimeIndex = self.unbroken[0:0:stride] if stride else self.index[:0]
            return none
        first, last = numbers.item(0), numbers.item(-1)
        if stride == 1:
            return slice_index(self.unbroken, self.steps.item(first), self.steps.item(last) + 1)
        if stride:
            even: pd.DatetimeIndex = self.unbroken[int(self.steps[first]) : int(self.steps[last]) + 1 : stride]
            return even
        if last - first == len(numbers) - 1:
            return slice_index(self.index, first, last + 1)
        scattered: pd.DatetimeIndex = self.index.take(numbers)
        return scattered


class TradingIndex:
    """A sorted, unique, tz-aware index with what is derived from it once and used by every series on it."""

    _latest: ClassVar[weakref.ref[TradingIndex] | None] = None

    def __init__(self, index: pd.DatetimeIndex) -> None:
        self.index = index
        self.nanoseconds: Int64Array = index.as_unit("ns").asi8
        self._grids: dict[tuple[int, str, int], BucketGrid] = {}
        self._days: tuple[Int64Array, Int64Array, Int64Array] | None = None
        self._gaps: dict[int, int] | None = None

    @classmethod
    def of(cls, index: pd.DatetimeIndex) -> TradingIndex:
        """Return the trading index of this very index object; the series of a backtest are given the same one."""
        latest = cls._latest() if cls._latest is not None else None
        if latest is None or latest.index is not index:
            latest = cls(index)
            cls._latest = weakref.ref(latest)
        return latest

    def __len__(self) -> int:
        return len(self.nanoseconds)

    def days(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return, for each local calendar day with rows: its first row, its midnight (ns, UTC), its day number."""
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
        """Return how long an intraday bar of rows `[start, stop)` takes to close, in nanoseconds; None for days.

        The rule is Lumibot's (`lumibot.entities.data`): the larger of the nominal step and the most common spacing
        within sessions, the smaller spacing of a tie.
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
        """Return the gap after each row of `[start, stop)`, 0 where a new session begins after it."""
        gaps = np.diff(self.nanoseconds[start : stop + 1])
        last_rows = self.days()[0][1:] - 1
        ends = last_rows[slice(*last_rows.searchsorted((start, start + len(gaps))))] - start
        gaps[ends[gaps[ends] > NANOSECONDS["hour"]]] = 0
        return gaps

    def _all_gaps(self) -> dict[int, int]:
        """Return how often each gap within sessions occurs."""
        if self._gaps is None:
            gaps = self._session_gaps(0, len(self))
            others = gaps[gaps != NANOSECONDS["minute"]]  # nearly all are a minute; sorting those would cost most
            values, counts = np.unique(others, return_counts=True)
            self._gaps = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
            self._gaps[NANOSECONDS["minute"]] = len(gaps) - len(others)
        return self._gaps

    def rows_of_day(self, row: int) -> tuple[int, int]:
        """Return the rows of the local calendar day that `row` is on."""
        first_rows = self.days()[0]
        day = int(first_rows.searchsorted(row, side="right"))
        return int(first_rows[day - 1]), int(first_rows[day]) if day < len(first_rows) else len(self)

    def grid(self, quantity: int, unit: str, row: int) -> BucketGrid:
        """Return the buckets that pandas' `resample` makes of rows that begin at `row`.

        `resample` anchors its bins at midnight of the first row's day. Where the step does not divide a day, or the
        clocks change, bins depend on that day: rows that begin on another day then have another grid.
        """
        first_rows, midnights, numbers = self.days()
        day = int(first_rows.searchsorted(row, side="right")) - 1
        length = quantity * NANOSECONDS[unit]
        phase = int(numbers[day]) % quantity if unit == "day" else int(midnights[day]) % length
        key = (quantity, unit, phase)
        grid = self._grids.get(key)
        if grid is None:
            grid = self._day_grid(quantity, phase) if unit == "day" else self._clock_grid(quantity, unit, phase)
            self._grids[key] = grid
        return grid

    def _clock_grid(self, quantity: int, unit: str, phase: int) -> BucketGrid:
        """Buckets of a fixed length in absolute time."""
        length = quantity * NANOSECONDS[unit]
        step = (self.nanoseconds - phase) // length
        first_rows = np.flatnonzero(np.diff(step, prepend=step[:1] - 1))
        steps = step[first_rows]
        labels = steps * length + phase
        unbroken = pd.date_range(
            start=pd.Timestamp(int(labels[0]), tz="UTC"),
            periods=int(steps[-1] - steps[0]) + 1,
            freq=f"{quantity}{FREQUENCY_CODES[unit]}",
            unit="ns",
        ).tz_convert(self.index.tz)
        return self._assemble(labels, first_rows, steps - steps[0], unbroken)

    def _day_grid(self, quantity: int, phase: int) -> BucketGrid:
        """Buckets of whole local calendar days, whatever their length in hours."""
        day_rows, _, numbers = self.days()
        step = (numbers - phase) // quantity
        starts = np.flatnonzero(np.diff(step, prepend=step[:1] - 1))
        steps = step[starts]
        begin = pd.Timestamp(int(steps[0] * quantity + phase) * NANOSECONDS["day"])
        unbroken = pd.date_range(
            start=begin, periods=int(steps[-1] - steps[0]) + 1, freq=f"{quantity}D", unit="ns", tz=self.index.tz
        )
        steps = steps - steps[0]
        return self._assemble(unbroken.asi8[steps], day_rows[starts], steps, unbroken)

    def _assemble(
        self, labels: Int64Array, first_rows: Int64Array, steps: Int64Array, unbroken: pd.DatetimeIndex
    ) -> BucketGrid:
        unit, name = self.index.unit, self.index.name
        unbroken = unbroken.as_unit(unit).rename(name)
        index = pd.DatetimeIndex(labels, tz="UTC").tz_convert(self.index.tz).as_unit(unit).rename(name)
        ends = np.append(first_rows, len(self)).astype(np.int64)
        of_row = np.repeat(np.arange(len(labels), dtype=np.int32), np.diff(ends))
        return BucketGrid(labels, ends, of_row, steps, index, unbroken)
