"""A store with many short series, as a backtest with the options of whole chains makes it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from lumibot_duckdb.storage.bars.checksums import add_checksums, checksums_of
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage.frames import minute_bars

BARS = 20
SYMBOL = "SPY"
FRAME = minute_bars(rows=BARS)
_COVERED = TimeRange(int(FRAME.index[0].timestamp()), int(FRAME.index[-1].timestamp()) + 60)
# The records of series 1, again for each further number.
_CLONES = """
INSERT INTO {db}.asset SELECT
    n, replace(name, ' 1 ', ' ' || n || ' '), symbol, asset_type, quote, exchange, expiration, n, "right", multiplier,
    auto_expiry
FROM {db}.asset, range(2, COUNT + 1) AS numbers(n);
INSERT INTO {db}.series SELECT n, n, source, timeframe, adjustment, n, created_at + to_microseconds(n)
FROM {db}.series, range(2, COUNT + 1) AS numbers(n);
INSERT INTO {db}.series_version SELECT n, n, created_at + to_microseconds(n), NULL
FROM {db}.series_version, range(2, COUNT + 1) AS numbers(n);
INSERT INTO {db}.ingest SELECT * EXCLUDE (n) REPLACE (
    CAST(n AS INTEGER) AS ingest_id, CAST(n AS INTEGER) AS series_id, CAST(n AS INTEGER) AS version_id,
    ingested_at + to_microseconds(n) AS ingested_at
) FROM {db}.ingest, range(2, COUNT + 1) AS numbers(n);
INSERT INTO {db}.coverage SELECT * EXCLUDE (n) REPLACE (
    CAST(n AS INTEGER) AS series_id, CAST(n AS INTEGER) AS ingest_id
) FROM {db}.coverage, range(2, COUNT + 1) AS numbers(n);
INSERT INTO {db}.bar SELECT * EXCLUDE (n) REPLACE (CAST(n AS INTEGER) AS version_id, CAST(n AS INTEGER) AS ingest_id)
FROM {db}.bar, range(2, COUNT + 1) AS numbers(n) ORDER BY n, ts;
"""


def call(strike: int) -> AssetKey:
    """Return the option of a number, from 1 on."""
    return AssetKey(SYMBOL, "option", None, "", dt.date(2024, 1, 19), float(strike), "CALL")


def make_many_series(path: Path, count: int) -> None:
    """Make a store with so many series, of some bars each."""
    with DuckDBDataStorage(path) as storage:
        storage.store_ohlcv_data(call(1), FRAME, "polygon", "minute", covered=_COVERED)
    with StoreConnection.of(path).write() as cursor:
        for statement in filter(str.strip, _CLONES.replace("COUNT", str(count)).split(";\n")):
            cursor.execute(statement)
        of_versions = checksums_of(cursor, dict.fromkeys(range(2, count + 1), "minute"))
        add_checksums(cursor, {version_id: computed for version_id, _, computed in of_versions})
    StoreConnection.of(path).close()
