"""Requests for larger bars than a series has (five minutes, hours or days of minutes), answered from buckets."""

from __future__ import annotations

import datetime as dt

import numpy as np

from lumibot_duckdb.storage.times import epoch_nanoseconds
from lumibot_duckdb.windows.bar_rows import Day
from lumibot_duckdb.windows.bucket_numbering import BucketNumbering, phase_of
from lumibot_duckdb.windows.bucketed_series import BucketedBars, BucketedSeries
from lumibot_duckdb.windows.filled_series import FilledRows, FilledSeries
from lumibot_duckdb.windows.row_lookup import RowLookup
from lumibot_duckdb.windows.shown_rows import ShownRows
from lumibot_duckdb.windows.trading_index import NANOSECONDS
from lumibot_duckdb.windows.window import MemoryBudget, SlidingWindow

ROWS_PER_BAR = {
    ("minute", "minute"): 1,
    ("minute", "hour"): 60,
    ("minute", "day"): 1440,
    ("hour", "hour"): 1,
    ("hour", "day"): 24,
    ("day", "day"): 1,
}
"""Rows that `Data.get_bars` reads for one larger bar, by the series' timestep and the requested unit."""

NEVER = np.iinfo(np.int64).max


class LargerBars:
    """Answers requests for larger bars of `series` as `Data.get_bars` would, or leaves them to it.

    `recent` is the window over its rows, which other requests also move.
    """

    def __init__(
        self,
        series: FilledSeries,
        recent: SlidingWindow[FilledRows],
        lookup: RowLookup,
        timestep: str,
        shown: ShownRows,
        budget: MemoryBudget,
        *,
        has_gaps: bool,
    ) -> None:
        self._series = series
        self._recent = recent
        self._shown = shown
        self._rows = series.rows
        self._lookup = lookup
        self._timestep = timestep
        self._budget = budget
        self._has_gaps = has_gaps
        self._buckets: dict[tuple[int, str, int], BucketedSeries] = {}
        self._latest: dict[tuple[int, str], tuple[Day, BucketedSeries]] = {}

    def bars(self, time: dt.datetime, length: int, quantity: int, unit: str, shift: int) -> BucketedBars | None:
        """Return the last `length` bars of `quantity` units visible at `time`; None where Lumibot has to answer."""
        rows = length * ROWS_PER_BAR[self._timestep, unit] * (quantity if unit != "day" else 1)
        start, stop = self._lookup.visible_rows(time, rows, shift)
        if start >= stop:
            return None
        self._shown.add(start, stop)
        series = self._bucketed_series(quantity, unit, start)
        return series.bars((start, stop), self._labelled_before(time, quantity, unit, stop), length)

    def _bucketed_series(self, quantity: int, unit: str, start: int) -> BucketedSeries:
        """Return the buckets for requests that look back to row `start`; the same for a whole day of rows."""
        latest = self._latest.get((quantity, unit))
        if latest is not None and latest[0].first <= start < latest[0].stop:
            return latest[1]
        phase = phase_of(self._rows, start, quantity, unit)
        series = self._buckets.get((quantity, unit, phase))
        if series is None:
            numbering = BucketNumbering(quantity, unit, phase)
            series = BucketedSeries(self._series, self._recent, numbering, self._budget, has_gaps=self._has_gaps)
            self._buckets[quantity, unit, phase] = series
        self._latest[quantity, unit] = (self._rows.day(start), series)
        return series

    def _labelled_before(self, time: dt.datetime, quantity: int, unit: str, stop: int) -> int:
        """Return the time (ns) before which a bar must be labelled to be complete, by the rules of `Data.get_bars`."""
        if unit == "day":
            if self._timestep == "day":
                return NEVER
            return epoch_nanoseconds(time.replace(hour=0, minute=0, second=0, microsecond=0))
        requested, own = quantity * NANOSECONDS[unit], NANOSECONDS[self._timestep]
        if requested <= own:
            return NEVER
        return self._rows.time(stop - 1) + own - requested + 1
