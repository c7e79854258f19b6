"""Reads the closes of several series, joined by time, with enough rows before the range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray, Mask, bars_with_close, dates_of_daily_bars
from lumibot_duckdb.analytics.cross_asset.joins import Column, joined, placed
from lumibot_duckdb.analytics.cross_asset.selection import Selection, asset_list
from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.analytics.reading import IndicatorBars
from lumibot_duckdb.analytics.series import ChosenSeries
from lumibot_duckdb.analytics.span import Span, listed, nothing_in
from lumibot_duckdb.storage.api import AssetLike, BarArrays, BarReader, TimeRange
from lumibot_duckdb.storage.bars.output import time_index
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe, is_of_days
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, EpochSeconds, Int64Array, moment_of

if TYPE_CHECKING:
    import pandas as pd

_ZONE = "America/New_York"
_FIRST, _LAST = -(2**62), 2**62


@dataclass(frozen=True)
class Closes:
    """Closes of assets: a row for each time, NaN where there is none. Rows before `first` are before the range.

    `volumes` are those of the bars that begin at these times, if they were asked for.
    """

    symbols: tuple[str, ...]
    times: Int64Array
    rows: FloatArray
    first: int
    volumes: FloatArray | None = None

    def index(self) -> pd.DatetimeIndex:
        """Return the times of the range."""
        return time_index(self.times[self.first :], "us")

    def with_any(self, places: Sequence[int]) -> Mask:
        """Return at which times of the range one of the assets in some columns has a close."""
        found: Mask = np.any(np.isfinite(self.rows[self.first :, places]), axis=1)
        return found


def close_table(storage: BarReader, symbols: AssetLike | Iterable[AssetLike], selection: Selection) -> pd.DataFrame:
    """Return joined closes as a frame."""
    import pandas as pd

    closes = read_closes(storage, selection.series(storage, asset_list(symbols)), selection, before=0)
    made: pd.DataFrame = pd.DataFrame(closes.rows[closes.first :], index=closes.index(), columns=closes.symbols)
    return made


def read_closes(
    storage: BarReader, series: Sequence[ChosenSeries], selection: Selection, before: int, *, with_volumes: bool = False
) -> Closes:
    """Return the joined closes of a range, with `before` earlier rows that have all changes, if there are so many.

    Raises `AnalysisError` if the range has no row.
    """
    span = selection.span
    inputs = ("close", "volume") if with_volumes else ("close",)
    begin = None if span.start is None else _estimated_begin(span.start, before, selection.timeframe)
    while True:
        bars = _bars(storage, series, selection.timeframe, Span(begin, span.end), inputs)
        columns = [(each.times, each.close) for each in bars]
        times, rows = joined(columns, selection.join)
        if span.end is not None:
            last = int(times.searchsorted(span.end))
            times, rows = times[:last], rows[:last]
        first = 0 if span.start is None else int(times.searchsorted(span.start))
        if begin is None or span.start is None or _is_enough(rows[:first], before):
            break
        known = [storage.facts(each.pin).first for each in series]
        begin = span.start - 4 * (span.start - begin)
        if begin <= min((each for each in known if each is not None), default=begin):
            begin = None
    if first == len(times):
        raise AnalysisError(_nothing(storage, series, columns, selection))
    volumes = None
    if with_volumes:
        volumes = np.column_stack([placed(times, each.times, each.columns["volume"]) for each in bars])
    return Closes(tuple(each.symbol for each in series), times, rows, first, volumes)


def _estimated_begin(start: EpochSeconds, before: int, timeframe: str) -> EpochSeconds:
    """Return from when on there may be enough rows: weekends and nights have none."""
    return start - 5 * (before + 1) * bar_seconds(canonical_timeframe(timeframe)) - 7 * SECONDS_PER_DAY


def _is_enough(earlier: FloatArray, before: int) -> bool:
    """Return whether there are `before` rows in which the price of each asset has changed from the row before."""
    complete: Mask = np.all(earlier > 0, axis=1)
    return int((complete[1:] & complete[:-1]).sum()) >= before


def _bars(
    storage: BarReader, series: Sequence[ChosenSeries], timeframe: str, span: Span, inputs: Sequence[str]
) -> list[Bars]:
    """Return the bars of each series that begin in a range, with the times by which they are joined."""
    is_daily = is_of_days(canonical_timeframe(timeframe))
    found = _stored(storage, [each for each in series if each.as_stored], span, inputs)
    found.update(_made(storage, [each for each in series if not each.as_stored], span, inputs))
    if not is_daily:
        return [found[each] for each in series]
    daily: list[Bars] = []
    of: Int64Array | None = None  # what the last midnights are of: most series have the same days
    for each in series:
        bars = found[each]
        if of is None or not np.array_equal(of, bars.times):
            of, (midnights, chosen) = bars.times, market_days(bars.times)
        daily.append(replace(bars.chosen(chosen), times=midnights))
    return daily


def _stored(
    storage: BarReader, series: Sequence[ChosenSeries], span: Span, inputs: Sequence[str]
) -> dict[ChosenSeries, Bars]:
    first, last = _FIRST if span.start is None else span.start, _LAST if span.end is None else span.end
    within = None if span.start is span.end is None else TimeRange(first, max(first, last))
    columns: dict[ChosenSeries, dict[str, np.ndarray[Any, Any]]] = {each: {} for each in series}
    times: dict[ChosenSeries, Int64Array] = {}
    for name in inputs:
        having = [each for each in series if any(column.name == name for column in storage.facts(each.pin).columns)]
        arrays = storage.read_column([each.pin for each in having], name, within)
        for each in having:
            times[each], columns[each][name] = arrays[each.pin].times, arrays[each.pin].columns[name]
    for each, found in columns.items():
        if "close" not in found:
            raise AnalysisError(f"{each.label} has no closes, which assets are compared by")
    return {
        each: bars_with_close(BarArrays(times[each], found), inputs, _ZONE, each.label)
        for each, found in columns.items()
    }


def _made(
    storage: BarReader, series: Sequence[ChosenSeries], span: Span, inputs: Sequence[str]
) -> dict[ChosenSeries, Bars]:
    """Return larger bars that are made of stored ones."""
    if not series:
        return {}
    reader = IndicatorBars(inputs, (), _ZONE)
    try:
        found = {}
        for each in series:
            read = next(reader.attempts(each.bars(storage), span))
            found[each] = read.bars.chosen(slice(read.first, None))
        return found
    finally:
        reader.close()


def market_days(times: Int64Array) -> tuple[Int64Array, Mask]:
    """Return the midnights in New York of the dates that bars are of, and which bars are the last ones of these."""
    import pandas as pd

    if not len(times):
        return times, np.empty(0, bool)
    days = dates_of_daily_bars(times, _ZONE)
    is_last = np.append(np.diff(days) > 0, True)
    midnights = pd.DatetimeIndex(days[is_last] * SECONDS_PER_DAY, dtype="M8[s]").tz_localize(_ZONE)
    return midnights.as_unit("s").asi8, is_last


def _nothing(
    storage: BarReader, series: Sequence[ChosenSeries], columns: Sequence[Column], selection: Selection
) -> str:
    span = selection.span
    empty = [each for each, (times, _) in zip(series, columns, strict=True) if not len(_within(times, span))]
    if empty:
        return nothing_in(storage, empty, span)
    names = [each.symbol for each in series]
    spans = [
        f"{name} {moment_of(int(times[0])):%Y-%m-%d} to {moment_of(int(times[-1])):%Y-%m-%d}"
        for name, (times, _) in zip(names, columns, strict=True)
    ]
    return (
        f"no {selection.timeframe} bars of {listed(names)} have the same time ({listed(spans)}): "
        "choose another range, or join='asof' or 'outer'"
    )


def _within(times: Int64Array, span: Span) -> Int64Array:
    begin = 0 if span.start is None else int(times.searchsorted(span.start))
    return times[begin : None if span.end is None else int(times.searchsorted(span.end))]
