"""Which series each version belongs to, from the tables themselves: a damaged store may lack what the catalog needs."""

from __future__ import annotations

from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from lumibot_duckdb.storage.connection.cursor import StoreCursor

_KEYS = """
SELECT version_id, symbol, asset_type, quote, exchange, expiration, strike, "right", multiplier, auto_expiry, source,
    timeframe, adjustment
FROM {db}.series_version JOIN {db}.series USING (series_id) JOIN {db}.asset USING (asset_id)
"""


def keys_of_versions(cursor: StoreCursor, version_id: int | None = None) -> dict[int, SeriesKey]:
    """Return the series of a version (None: of all) by its id."""
    which = "" if version_id is None else f"WHERE version_id = {version_id}"
    return {
        version: SeriesKey(AssetKey(*asset), source, timeframe, adjustment)
        for version, *asset, source, timeframe, adjustment in cursor.rows(_KEYS + which)
    }
