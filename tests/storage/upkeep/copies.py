"""What the tests of backups and replicas share: stores with everything in them, and what their API returns."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import CorporateAction, TimeRange
from lumibot_duckdb.storage.bars.checksums import all_checksums
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage.frames import minute_bars

FRAME = minute_bars(rows=400)
LATER = minute_bars("2024-01-03 09:30", rows=40, seed=1)
DAY = dt.date(2024, 1, 2)
CHAIN = {"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2024-01-19": [465.0, 470.0]}, "PUT": {}}}
HOUR = TimeRange(int(FRAME.index[0].timestamp()), int(FRAME.index[-1].timestamp()) + 3600)


def store(storage: DuckDBDataStorage, symbol: str, frame: Any = FRAME, **more: Any) -> None:
    storage.store_ohlcv_data(symbol, frame, "test", "minute", **more)


def fill(storage: DuckDBDataStorage) -> None:
    """Store series with a superseded version, a split, coverage of every kind, a chain, a setting and a snapshot."""
    store(storage, "A", covered=HOUR, metadata={"request": "A"})
    store(storage, "A", FRAME.assign(volume=7))
    store(storage, "B", FRAME.assign(vwap=1.5, note="x"), adjustment="split")
    store(storage, "GONE")
    storage.delete_series("GONE")
    storage.record_coverage("C", HOUR, "test", "minute")
    storage.record_corporate_actions("B", [CorporateAction(DAY, 1, 2)], "test", restates=["split"])
    storage.store_option_chain("A", CHAIN, "test", DAY)
    storage.label("A", "sector", ["x", "y"])
    storage.migrated_files.remember("file", "fingerprint", 3, [1])
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("INSERT INTO {db}.setting VALUES ('key', '1')")
        cursor.execute("INSERT INTO {db}.snapshot VALUES ('name', 1, TIMESTAMP '2024-01-01')")


def tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table. Checksums are added up, as those of a copy are."""
    connection = StoreConnection.of(path)
    with connection.read() as cursor:
        migrations.state(cursor)
        names = cursor.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = '{db}' ORDER BY ALL")
        found = {name: sorted(cursor.rows(f"SELECT * FROM {{db}}.{name}"), key=repr) for (name,) in names}
        found["bar_checksum"] = list(all_checksums(cursor))
    connection.close()
    return found


def assert_nothing_left(folder: Path) -> None:
    assert [file.name for file in folder.iterdir() if "copying" in file.name or "restoring" in file.name] == []
