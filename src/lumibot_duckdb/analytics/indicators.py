"""Computes indicators of stored series, one series after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa

from lumibot_duckdb.analytics import frames
from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.engine import Engine, engine_for, outputs
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.reading import IndicatorBars, Span
from lumibot_duckdb.analytics.requests import Request, parsed_requests
from lumibot_duckdb.analytics.series import ChosenSeries, chosen_series
from lumibot_duckdb.analytics.warm_up import Reach, window
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader
from lumibot_duckdb.storage.times import EpochSeconds, epoch_seconds_ceiling, new_york_timestamp

FORMATS = ("pandas", "polars", "arrow", "reader")

_SAME = 1e-10
"""The relative difference up to which a value counts as independent of what came before the bars that were read."""


def indicator_table(
    storage: BarReader,
    symbols: AssetLike | Iterable[AssetLike],
    indicators: str | Iterable[str],
    timeframe: str,
    start: datetime | date | str | None,
    end: datetime | date | str | None,
    *,
    source: str | None,
    adjustment: str | None,
    as_of: AsOf | None,
    zone: str,
    format: str,
) -> Any:
    """Do what `Analytics.indicators` documents."""
    if format not in FORMATS:
        raise ValueError(f"{format!r} is not a format: write one of {', '.join(FORMATS)}")
    requests = parsed_requests(indicators)
    check_zone(zone)
    engine = engine_for(requests)
    is_long = not _is_one(symbols)
    assets: list[Any] = [*cast("Iterable[Any]", symbols)] if is_long else [symbols]
    series = chosen_series(storage, assets, timeframe, source, adjustment, as_of)
    columns = ["close", *(column for request in requests for column in request.columns)]
    unit = "us" if is_long else storage.facts(series[0].pin).index_unit
    shape = frames.Shape(columns, unit, is_long=is_long, with_nulls=format != "pandas")
    work = SeriesIndicators(storage, engine, requests, zone)
    reader = frames.as_reader(shape.schema, _batches(work, series, Span(moment(start), moment(end)), shape))
    if format == "pandas":
        return shape.pandas(reader)
    if format == "polars":
        return frames.polars_frame(reader)
    return reader.read_all() if format == "arrow" else reader


def _batches(
    work: SeriesIndicators, series: Sequence[ChosenSeries], span: Span, shape: frames.Shape
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each series."""
    try:
        for each in series:
            bars, first, found = work.compute(each, span)
            shown = [bars.close[first:], *(values[first:] for outputs in found.values() for values in outputs)]
            yield from shape.batches(each.symbol, bars.times[first:], shown)
            del bars, found, shown  # not needed while the next series is read
    finally:
        work.close()


class SeriesIndicators:
    """Reads series and computes indicators of them, one series at a time.

    Args:
        storage: Where the bars are.
        engine: What computes the indicators; it is closed with this object.
        requests: The indicators.
        zone: The time zone whose days count.
        inputs: Further columns of the bars.
        before: How many bars before the range are read in any case.
    """

    def __init__(
        self,
        storage: BarReader,
        engine: Engine,
        requests: Sequence[Request],
        zone: str,
        inputs: Iterable[str] = (),
        before: int = 0,
    ) -> None:
        self._engine = engine
        self._requests = requests
        needed = tuple(dict.fromkeys([*(name for request in requests for name in request.indicator.inputs), *inputs]))
        self._bars = IndicatorBars(storage, needed, [window(before), *(request.warm_up for request in requests)], zone)

    def compute(self, series: ChosenSeries, span: Span) -> tuple[Bars, int, Mapping[Request, tuple[FloatArray, ...]]]:
        """Return bars up to the end of a range, the place of its first one, and the outputs for all of the bars."""
        bars, first = self._bars.read(series, span, self._is_enough)
        return bars, first, {request: outputs(self._engine, request, bars) for request in self._requests}

    def close(self) -> None:
        """Release what the computation needed."""
        self._engine.close()
        self._bars.close()

    def _is_enough(self, bars: Bars, first: int) -> bool:
        """Return whether the bars before a place are enough for the values of recursive indicators from there on."""
        return all(self._is_settled(request, bars, first) for request in self._requests)

    def _is_settled(self, request: Request, bars: Bars, first: int) -> bool:
        """Return whether other bars before these would change no value from a place on.

        A calm market can make old bars count for longer than usual: averages of rises and falls keep their ratio as
        long as the price stays the same, and show it when the price moves again. So an early bar is changed, and all
        values must stay the same.
        """
        if request.warm_up.reach is not Reach.RECURSIVE:
            return True
        if not first:
            return False
        pairs = zip(
            outputs(self._engine, request, bars), outputs(self._engine, request, _with_early_peak(bars)), strict=True
        )
        return all(_same(values[first:], others[first:]) for values, others in pairs)


def _with_early_peak(bars: Bars) -> Bars:
    """Return bars whose second one is twice as high: a rise and a fall."""
    factor = np.ones(len(bars))
    factor[1] = 2.0
    return Bars(bars.times, {name: column * factor for name, column in bars.columns.items()}, bars.zone)


def _same(values: FloatArray, others: FloatArray) -> bool:
    """Return whether the first values are the same, and the later ones in relation to the largest of them."""
    if not np.array_equal(np.isnan(values), np.isnan(others)):
        return False
    known = ~np.isnan(values)
    sizes = np.abs(values[known])
    allowed = np.full(len(sizes), _SAME * sizes.max(initial=0.0))
    if known[0]:
        allowed[0] = _SAME * max(sizes[0], abs(others[0]))
    return bool((np.abs(values - others)[known] <= allowed).all())


def _is_one(symbols: Any) -> bool:
    """Return whether a caller means one asset. A tuple is a pair, as for all methods of the storage."""
    return isinstance(symbols, (str, tuple)) or not isinstance(symbols, Iterable)


def moment(time: datetime | date | str | None) -> EpochSeconds | None:
    """Return a time that a caller gave in epoch seconds, rounded up."""
    return None if time is None else epoch_seconds_ceiling(new_york_timestamp(time))


def check_zone(zone: str) -> None:
    """Raise `IndicatorError` unless there is such a time zone."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError, TypeError):
        raise IndicatorError(f"{zone!r} is not a time zone: write one such as 'America/New_York' or 'UTC'") from None
