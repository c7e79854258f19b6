"""Indicators of a series as a backtest moves through it: computed for a window of bars, then looked up.

A window includes bars that have not closed yet at the backtest's time. No value depends on a later bar, so these change
nothing, and only closed bars are returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lumibot_duckdb.analytics.indicator_values import IndicatorValues
from lumibot_duckdb.analytics.reading import bars_a_day
from lumibot_duckdb.analytics.series_bars import BarsInTimeframe
from lumibot_duckdb.analytics.span import Span
from lumibot_duckdb.storage.bars.outline import midnights
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import EpochSeconds, Int64Array
from lumibot_duckdb.windows.bar_ends import bar_end
from lumibot_duckdb.windows.bar_table import BarTable
from lumibot_duckdb.windows.sorted_search import first_after, first_from
from lumibot_duckdb.windows.window import MemoryBudget, SlidingWindow

_FURTHER_AHEAD = 64
"""How many times further windows reach whose beginning is expensive: larger bars, and those that need all bars."""


@dataclass(slots=True)
class ComputedRows:
    """Bar starts (epoch seconds), and a table of the close and of the values of indicators."""

    times: Int64Array
    table: BarTable

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.times.nbytes) + self.table.nbytes


@dataclass(frozen=True, slots=True)
class ClosedBars:
    """The values of some closed bars: rows `[low, high)` of computed ones."""

    rows: ComputedRows
    low: int
    high: int

    def frame(self) -> pd.DataFrame:
        """Return a frame that belongs to the caller."""
        return self.rows.table.frame(self.low, self.high)

    @property
    def times(self) -> Int64Array:
        """The starts of the bars, in epoch seconds."""
        return self.rows.times[self.low : self.high]


class IndicatorWindow:
    """Some indicators of one series. A window slides over the days that have bars.

    Parameters:
        series: the bars.
        values: computes the indicators.
        budget: the memory shared with other windows.
        index_of: returns bar starts as the index of frames.
    """

    def __init__(
        self,
        series: BarsInTimeframe,
        values: IndicatorValues,
        budget: MemoryBudget,
        index_of: Callable[[Int64Array], pd.DatetimeIndex],
    ) -> None:
        self._series = series
        self._values = values
        self._index_of = index_of
        days = series.bars.outline().days
        self._made_by_day = np.cumsum(bars_a_day(days.bars, series))
        self._bars_before = np.cumsum(days.bars) - days.bars
        self._begins = midnights(days.numbers)
        if len(days):
            self._begins = self._begins.copy()
            self._begins[0] -= bar_seconds(series.timeframe)  # a larger bar may begin before the first stored one
        a_day = max(1, int(days.bars.sum()) // max(1, len(days)))
        self._parts = 1 if series.as_stored else -(-bar_seconds(series.timeframe) // bar_seconds(series.stored))
        is_expensive = values.needs_all_bars or not series.as_stored
        self._window: SlidingWindow[ComputedRows] = SlidingWindow(
            len(days),
            self._load,
            budget,
            row_bytes=8 * (len(values.columns) + 2) * max(1, a_day // self._parts),
            weight=max(1, a_day // _FURTHER_AHEAD) if is_expensive else a_day,
            join=None if values.needs_all_bars else self._joined,
        )

    def closed_bars(self, now: EpochSeconds, visible_until: EpochSeconds | None, length: int) -> ClosedBars | None:
        """Return the last `length` bars that have closed by `now` and begin before `visible_until`; None if none has.

        There are fewer if the series has fewer.
        """
        bound = now + 1 if visible_until is None else min(now + 1, visible_until)
        stop = first_from(self._begins, bound)
        if stop == 0:
            return None
        needed = (length + 1) * self._parts  # one of them may not have closed
        while True:
            start = max(0, first_after(self._bars_before, self._bars_before.item(stop - 1) - needed) - 1)
            _, rows = self._window.cover(start, stop)
            high = self._last_closed(rows.times, first_from(rows.times, bound), now)
            if high >= length or start == 0:
                return ClosedBars(rows, max(0, high - length), high) if high else None
            needed *= 2

    def bars_before(self, now: EpochSeconds) -> float:
        """Return at least how many bars there are before the day of a time."""
        earlier = first_after(self._begins, now) - 1
        return float(self._made_by_day[earlier - 1]) if earlier > 0 else 0.0

    def empty_frame(self) -> pd.DataFrame:
        """Return a frame with all columns and no row."""
        return self._table(np.empty(0, np.int64), [np.empty(0) for _ in self._values.columns]).frame(0, 0)

    def _last_closed(self, times: Int64Array, stop: int, now: EpochSeconds) -> int:
        """Return how many of the first `stop` bars have closed."""
        made = not self._series.as_stored
        while stop and bar_end(times.item(stop - 1), self._series.timeframe, made=made) > now:
            stop -= 1
        return stop

    # -- computing -------------------------------------------------------------------------------------------

    def _load(self, start: int, stop: int) -> ComputedRows:
        """Compute the bars that begin on days `[start, stop)`."""
        days = len(self._begins)
        begin = None if start == 0 else int(self._begins[start])
        times, columns = self._values.read(self._series, Span(begin, None if stop >= days else int(self._begins[stop])))
        return ComputedRows(times, self._table(times, columns))

    def _joined(self, pieces: Sequence[ComputedRows], start: int, stop: int) -> ComputedRows:
        """Return the bars of days `[start, stop)` of pieces that adjoin. The first includes their start."""
        times = np.concatenate([piece.times for piece in pieces])
        kept = slice(0 if start == 0 else int(times.searchsorted(self._begins[start])), None)
        columns = [
            np.concatenate([piece.table.columns[name] for piece in pieces])[kept] for name in self._values.columns
        ]
        return ComputedRows(times[kept], self._table(times[kept], columns))

    def _table(self, times: Int64Array, columns: Sequence[np.ndarray]) -> BarTable:
        return BarTable(dict(zip(self._values.columns, columns, strict=True)), self._index_of(times))
