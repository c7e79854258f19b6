"""Computes indicators of stored series, one series after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, cast

import pyarrow as pa

from lumibot_duckdb.analytics import frames
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.indicator_values import IndicatorValues
from lumibot_duckdb.analytics.requests import parsed_requests
from lumibot_duckdb.analytics.series import ChosenSeries, chosen_series
from lumibot_duckdb.analytics.span import Span, nothing_in
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader

FORMATS = ("pandas", "polars", "arrow", "reader")


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
    span = Span.between(start, end)
    values = IndicatorValues(requests, zone)
    is_long = not _is_one(symbols)
    assets: list[Any] = [*cast("Iterable[Any]", symbols)] if is_long else [symbols]
    series = chosen_series(storage, assets, timeframe, source, adjustment, as_of)
    unit = "us" if is_long else storage.facts(series[0].pin).index_unit
    shape = frames.Shape(values.columns, unit, is_long=is_long, with_nulls=format != "pandas")
    reader = frames.as_reader(shape.schema, _batches(storage, values, series, span, shape))
    if format == "pandas":
        return shape.pandas(reader)
    if format == "polars":
        return frames.polars_frame(reader)
    return reader.read_all() if format == "arrow" else reader


def _batches(
    storage: BarReader, values: IndicatorValues, series: Sequence[ChosenSeries], span: Span, shape: frames.Shape
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of each series. Raises `IndicatorError` if there are none."""
    rows = 0
    try:
        for each in series:
            for times, columns in values.pieces(each.bars(storage), span):
                rows += len(times)
                yield from shape.batches(each.symbol, times, columns)
                del times, columns  # not needed while the next bars are read
        if not rows and series:
            raise IndicatorError(nothing_in(storage, series, span))
    finally:
        values.close()


def _is_one(symbols: Any) -> bool:
    """Return whether a caller means one asset. A tuple is a pair, as for all methods of the storage."""
    return isinstance(symbols, (str, tuple)) or not isinstance(symbols, Iterable)


def check_zone(zone: str) -> None:
    """Raise `IndicatorError` unless there is such a time zone."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError, TypeError):
        raise IndicatorError(f"{zone!r} is not a time zone: write one such as 'America/New_York' or 'UTC'") from None
