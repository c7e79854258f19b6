"""Computes indicators of stored series, one series after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa

from lumibot_duckdb.analytics import frames
from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.engine import Engine, engine_for, outputs
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.reading import IndicatorBars, ReadBars, Span
from lumibot_duckdb.analytics.requests import Request, parsed_requests
from lumibot_duckdb.analytics.series import ChosenSeries, chosen_series
from lumibot_duckdb.analytics.warm_up import Reach
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
    work = _Work(storage, engine, requests, zone)
    reader = frames.as_reader(shape.schema, work.batches(series, Span(moment(start), moment(end)), shape))
    if format == "pandas":
        return shape.pandas(reader)
    if format == "polars":
        return frames.polars_frame(reader)
    return reader.read_all() if format == "arrow" else reader


class _Work:
    """Reads and computes some indicators."""

    def __init__(self, storage: BarReader, engine: Engine, requests: Sequence[Request], zone: str) -> None:
        self._engine = engine
        self._requests = requests
        inputs = tuple(dict.fromkeys(name for request in requests for name in request.indicator.inputs))
        self._bars = IndicatorBars(storage, inputs, [request.warm_up for request in requests], zone)

    def batches(self, series: Sequence[ChosenSeries], span: Span, shape: frames.Shape) -> Iterator[pa.RecordBatch]:
        """Yield the rows of each series."""
        try:
            for each in series:
                read, computed = self._computed(each, span)
                shown = [column[read.first :] for column in (read.bars.close, *computed)]
                yield from shape.batches(each.symbol, read.bars.times[read.first :], shown)
                del read, computed, shown  # not needed while the next series is read
        finally:
            self._engine.close()
            self._bars.close()

    def _computed(self, series: ChosenSeries, span: Span) -> tuple[ReadBars, list[FloatArray]]:
        """Return bars with enough earlier ones, and all outputs for them."""
        for read in self._bars.attempts(series, span):
            values = [outputs(self._engine, request, read.bars) for request in self._requests]
            if read.has_all or self._are_settled(read, values):
                break
        return read, [column for columns in values for column in columns]

    def _are_settled(self, read: ReadBars, values: Sequence[Sequence[FloatArray]]) -> bool:
        """Return whether other bars before those that were read would change no value that is shown.

        A calm market can make old bars count for longer than usual: averages of rises and falls keep their ratio as
        long as the price stays the same, and show it when the price moves again. So an early bar is changed, and all
        values must stay the same.
        """
        recursive = [
            (request, columns)
            for request, columns in zip(self._requests, values, strict=True)
            if request.warm_up.reach is Reach.RECURSIVE
        ]
        if not recursive or read.first == len(read.bars):
            return True
        changed = _with_early_peak(read.bars)
        return all(
            _same(column[read.first :], other[read.first :])
            for request, columns in recursive
            for column, other in zip(columns, outputs(self._engine, request, changed), strict=True)
        )


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
