"""The candles of a chart: the bars themselves, or larger ones made in SQL where there are too many to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray, bars_with_close
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.series import ChosenSeries, divides
from lumibot_duckdb.analytics.span import Span, nothing_in
from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.storage.api import BarReader, TimeRange
from lumibot_duckdb.storage.bars.outline import Days
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array

MOST_CANDLES = 2_000
"""About so many are drawn at most."""

PRICES = ("open", "high", "low", "close")

_LENGTHS = (
    *("5second", "15second", "30second", "minute", "2minute", "5minute", "10minute", "15minute", "30minute"),
    *("hour", "2hour", "4hour", "12hour", "day", "week", "2week", "month", "3month", "12month"),
)
_EVER = (-(2**62), 2**62)

Found: TypeAlias = "tuple[str, Int64Array, Mapping[str, FloatArray], int]"
"""The length of candles, their starts, their columns, and the number of bars in them."""


@dataclass(frozen=True)
class Candles:
    """Candles in time order.

    Attributes:
        series: The series, and the timeframe that was requested.
        timeframe: The length of each candle.
        times: Their starts in epoch seconds.
        columns: `open`, `high`, `low`, `close` and `volume`; missing volumes are NaN.
        bars: How many bars they were made of.
        zone: The time zone of days, and of the labels.
        has_range: Whether the series has opens, highs and lows.
    """

    series: ChosenSeries
    timeframe: str
    times: Int64Array
    columns: Mapping[str, FloatArray]
    bars: int
    zone: str
    has_range: bool

    def __len__(self) -> int:
        return len(self.times)

    @property
    def is_reduced(self) -> bool:
        """Whether a candle is several bars of the requested length."""
        return self.timeframe != self.series.timeframe

    def places(self, times: Int64Array) -> Int64Array:
        """Return the place of the candle that each moment falls into, or of the last one before; -1 before all."""
        return np.asarray(self.times.searchsorted(times, side="right") - 1, np.int64)


def read_candles(storage: BarReader, series: ChosenSeries, span: Span, zone: str | None) -> Candles:
    """Return the candles of a span. Raises `ChartError` if it has none."""
    pin, outline = series.pin, storage.outline(series.pin)
    columns = {column.name for column in storage.facts(pin).columns}
    if "close" not in columns:
        raise IndicatorError(f"{series.label} has no closes, so there is nothing to draw")
    days = _days_in(outline.days, span)
    zone = zone or _zone_of_days(series, outline.days)
    found = _stored(storage, series, span, zone) if _may_be_few(series, days, span) else None
    if found is None or len(found[1]) > MOST_CANDLES:
        found = _larger(storage, series, span, days, zone)
    timeframe, times, values, bars = found
    if not len(times):
        raise ChartError(nothing_in(storage, [series], span))
    has_range = {"open", "high", "low"} <= columns
    return Candles(series, timeframe, times, values, bars, zone, has_range)


def _may_be_few(series: ChosenSeries, days: Days, span: Span) -> bool:
    """Return whether the stored bars may be few enough to draw. The first and last day may be in the span in part."""
    first, end = _bounds(span)
    whole = (days.first >= first) & (days.last < end)
    return series.as_stored and int(days.bars[whole].sum()) <= MOST_CANDLES


def _stored(storage: BarReader, series: ChosenSeries, span: Span, zone: str) -> Found:
    there = [column.name for column in storage.facts(series.pin).columns]
    wanted = [name for name in (*PRICES, "volume") if name in there]
    arrays = storage.read_bars(series.pin, _range(span), wanted, remember=False)
    bars = bars_with_close(arrays, (*PRICES, "volume"), zone, series.label)
    return series.timeframe, bars.times, bars.columns, len(bars)


def _larger(storage: BarReader, series: ChosenSeries, span: Span, days: Days, zone: str) -> Found:
    timeframe = _length(series, days)
    within = _range(span)
    requested = timeframe == series.timeframe
    if requested and within is not None:
        # A larger bar belongs to the span if its start does, and then with all of its parts.
        within = TimeRange(within.start, within.end + bar_seconds(timeframe))
    found = storage.read_larger_bars(series.pin, timeframe, within, zone=zone)
    kept = np.ones(len(found.times), bool)
    if requested and span.start is not None:
        kept &= found.times >= span.start
    if requested and span.end is not None:
        kept &= found.times < span.end
    columns = {name: column[kept] for name, column in found.columns.items()}
    return timeframe, found.times[kept], columns, int(columns.pop("bars").sum())


def _length(series: ChosenSeries, days: Days) -> str:
    """Return the smallest length of candles that keeps their number small enough."""
    larger = [each for each in _LENGTHS if divides(series.timeframe, each)]
    lengths = larger if series.as_stored else [series.timeframe, *larger]
    return next((each for each in lengths if _most(each, days) <= MOST_CANDLES), lengths[-1])


def _most(length: str, days: Days) -> int:
    """Return how many candles of a length there are at most on some days."""
    seconds = bar_seconds(length)
    if seconds >= SECONDS_PER_DAY:
        return len(np.unique(days.numbers // (seconds // SECONDS_PER_DAY)))
    return int(np.minimum(days.bars, (days.last - days.first) // seconds + 2).sum())


def _days_in(days: Days, span: Span) -> Days:
    first, end = _bounds(span)
    return days.chosen((days.last >= first) & (days.first < end))


def _zone_of_days(series: ChosenSeries, days: Days) -> str:
    """Return UTC for daily bars, as of coins, that start at its midnight; else New York, as in the whole package."""
    daily = bar_seconds(series.pin.key.timeframe) >= SECONDS_PER_DAY
    return "UTC" if daily and not (days.first % SECONDS_PER_DAY).any() else "America/New_York"


def _bounds(span: Span) -> tuple[int, int]:
    first = _EVER[0] if span.start is None else span.start
    return first, max(first, _EVER[1] if span.end is None else span.end)


def _range(span: Span) -> TimeRange | None:
    return None if span.start is span.end is None else TimeRange(*_bounds(span))
