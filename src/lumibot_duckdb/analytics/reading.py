"""Reads the bars of a series from which indicators are computed: those in a range, and enough of them before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from lumibot_duckdb.analytics.bars import Bars, bars_with_close
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.macros import MacroDatabase
from lumibot_duckdb.analytics.series_bars import ALWAYS, BarsInTimeframe
from lumibot_duckdb.analytics.span import Span
from lumibot_duckdb.analytics.warm_up import Reach, WarmUp
from lumibot_duckdb.storage import macros
from lumibot_duckdb.storage.api import BarArrays, TimeRange
from lumibot_duckdb.storage.bars.outline_records import has_outline
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, EpochSeconds, date_of, midnight

_RESAMPLED = """
SELECT epoch("timestamp")::BIGINT AS ts, open, high, low, close, volume
FROM resample({symbol}, ?, zone := ?) ORDER BY ts
"""

_ROWS_AT_A_TIME = 32_000
"""About how many bars of a long history are read at a time."""


@dataclass(frozen=True, slots=True)
class ReadBars:
    """Bars up to the end of a span, the place of the first one shown, and whether they are the whole history."""

    bars: Bars
    first: int
    has_all: bool


class IndicatorBars:
    """Reads bars for indicators.

    Args:
        inputs: The columns that are needed.
        warm_ups: The bars that the indicators need before the first one that is shown.
        zone: The time zone whose days count.
    """

    def __init__(self, inputs: Sequence[str], warm_ups: Sequence[WarmUp], zone: str) -> None:
        self._inputs = inputs
        self._zone = zone
        self._bars_before = max(
            (warm_up.bars for warm_up in warm_ups if warm_up.reach in (Reach.BARS, Reach.RECURSIVE)), default=0
        )
        self._reaches = {warm_up.reach for warm_up in warm_ups}
        self._macros: MacroDatabase | None = None

    def close(self) -> None:
        """Release what resampling needed."""
        if self._macros is not None:
            self._macros.close()
            self._macros = None

    def attempts(self, series: BarsInTimeframe, span: Span) -> Iterator[ReadBars]:
        """Yield the bars of a span with those before it, each time with about twice as many, at last with all.

        The first ones are enough for all indicators but recursive ones, for which the caller decides.
        """
        before = self._bars_before
        while True:
            begin = self._begin(series, span.start, before)
            bars = self._bars(series, begin, span.end)
            first = 0 if span.start is None else int(bars.times.searchsorted(span.start))
            if begin is None or first >= before:
                yield ReadBars(bars, first, has_all=begin is None)
            if begin is None:
                return
            before = 2 * before + 1

    def pieces(self, series: BarsInTimeframe, end: EpochSeconds | None) -> Iterator[Bars] | None:
        """Return all bars before `end`, some at a time; None for few, and for bars that are made of smaller ones."""
        if not series.as_stored or series.bars.facts.rows <= _ROWS_AT_A_TIME:
            return None
        days = series.bars.outline().days
        before = np.cumsum(days.bars) - days.bars
        firsts = days.first[1:][np.diff(before // _ROWS_AT_A_TIME) > 0].tolist()
        cuts = [None, *(first for first in firsts if end is None or first < end), end]
        return (self._bars(series, *within) for within in pairwise(cuts))

    # -- where to begin --------------------------------------------------------------------------------------

    def _begin(self, series: BarsInTimeframe, start: EpochSeconds | None, before: float) -> EpochSeconds | None:
        """Return from when on to read, so that there are `before` bars before `start`; None: from the first bar."""
        if start is None or Reach.ALL in self._reaches:
            return None
        begins = [self._begin_of_bars(series, start, before)]
        if Reach.DAY in self._reaches:
            begins.append(self._day_start(start))
        if Reach.PREVIOUS_DAY in self._reaches:
            last = series.bars.last_time_at_or_before(self._day_start(start) - 1, "close")
            begins.append(None if last is None else self._day_start(last))
        known = [begin for begin in begins if begin is not None]
        return min(known) if len(known) == len(begins) else None

    def _day_start(self, moment: EpochSeconds) -> EpochSeconds:
        zone = ZoneInfo(self._zone)
        return midnight(date_of(moment, zone), zone)

    def _begin_of_bars(self, series: BarsInTimeframe, start: EpochSeconds, before: float) -> EpochSeconds | None:
        if not before and series.as_stored:
            return start
        days = series.bars.outline().days
        # The last of these days may have bars from `start` on, so its bars do not count.
        earlier = int(days.first.searchsorted(start))
        counted = bars_a_day(days.bars[: max(0, earlier - 1)], series)
        needed = before if series.as_stored else before + 1  # the first of the larger bars may lack its beginning
        reached = int(np.cumsum(counted[::-1]).searchsorted(needed))
        return None if reached >= len(counted) else int(days.first[len(counted) - 1 - reached])

    # -- the bars themselves ---------------------------------------------------------------------------------

    def _bars(self, series: BarsInTimeframe, begin: EpochSeconds | None, end: EpochSeconds | None) -> Bars:
        if series.as_stored:
            return self._stored(series, begin, end, self._inputs)
        # A bar that starts before the end may have parts after it.
        until = None if end is None else end + bar_seconds(series.timeframe)
        parts = self._stored(series, begin, until, ("open", "high", "low", "close", "volume"))
        bars = self._resampled(parts, series)
        # Likewise, one that starts before the beginning lacks parts.
        first = 0 if begin is None else int(bars.times.searchsorted(begin))
        return bars.chosen(slice(first, None if end is None else int(bars.times.searchsorted(end))))

    def _stored(
        self, series: BarsInTimeframe, begin: EpochSeconds | None, end: EpochSeconds | None, wanted: Sequence[str]
    ) -> Bars:
        facts = series.bars.facts
        if not has_outline(facts.rows):
            # It consists of the bars, then, which are read together with those of other short series.
            series.bars.outline()
        there = {column.name for column in facts.columns}
        if "close" not in there:
            raise IndicatorError(f"{series.bars.label} has no closes, which indicators are computed from")
        columns = [name for name in dict.fromkeys(("close", *wanted)) if name in there]
        first = ALWAYS.start if begin is None else begin
        within = TimeRange(first, max(first, ALWAYS.end if end is None else end))
        return bars_with_close(series.bars.bars(within, columns), wanted, self._zone, series.bars.label)

    def _resampled(self, parts: Bars, series: BarsInTimeframe) -> Bars:
        if self._macros is None:
            self._macros = MacroDatabase(macros.scripts()[:1])
        columns = {name: pa.array(column, from_pandas=True) for name, column in parts.columns.items()}
        table = pa.table({"ts": pa.array(parts.times).cast(pa.timestamp("s")), **columns})
        found = self._macros.rows(table, series.stored, _RESAMPLED, [series.timeframe, self._zone])
        arrays = {name: found[name].to_numpy() for name in found.column_names}
        return bars_with_close(BarArrays(arrays.pop("ts"), arrays), self._inputs, self._zone, series.bars.label)


def bars_a_day(
    bars: np.ndarray[tuple[int], np.dtype[np.int64]], series: BarsInTimeframe
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return at least how many bars a day has, given how many stored ones: less than one where bars span days."""
    if series.as_stored:
        return bars.astype(float)
    length = bar_seconds(series.timeframe)
    if length >= SECONDS_PER_DAY:
        return np.full(len(bars), SECONDS_PER_DAY / length)
    return np.ceil(bars * bar_seconds(series.stored) / length)
