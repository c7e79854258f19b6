"""Exports of the view `ohlcv_data`: which rows belong to which series."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.identity import asset_key, asset_of_published_name, canonical_source
from lumibot_duckdb.storage.timeframes import canonical_timeframe

VIEW_KEYS = ("asset_symbol", "asset_type", "exchange", "timeframe", "source")
VIEW_TIME = "timestamp"


def is_own_view(columns: Collection[str]) -> bool:
    """Return whether the columns are those of an export of the view."""
    return {*VIEW_KEYS, VIEW_TIME} <= set(columns)


def series_of_row(keys: Sequence[str]) -> SeriesKey:
    """Return the series of a row from its columns `VIEW_KEYS`. Raises ValueError if they are not what the view has."""
    name, asset_type, exchange, timeframe, source = keys
    # The view writes the adjustment behind the source.
    provider, _, adjustment = source.partition(":")
    asset = asset_key(asset_of_published_name(name, asset_type, exchange))
    return SeriesKey(asset, canonical_source(provider), canonical_timeframe(timeframe), adjustment)
