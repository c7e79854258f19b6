"""What other processes do to a store while a backtest runs. They use nothing but the storage, so they start fast."""

from __future__ import annotations

from pathlib import Path

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.connection.store_connection import StoreConnection


def halve(store: Path) -> None:
    """Restate every series of a store, as if each had split two for one."""
    storage = DuckDBDataStorage(store)
    for info in storage.list_series():
        key = info.key
        pin = storage.pin(key.asset, timeframe=key.timeframe, source=key.source, adjustment=key.adjustment)
        frame = storage.read_pandas(pin)
        frame[["open", "high", "low", "close"]] /= 2
        storage.store_ohlcv_data(key.asset, frame, key.source, key.timeframe, adjustment=key.adjustment)
    storage.close()


def make_checks_old(store: Path) -> None:
    """Let the store believe that it asked for corporate actions two days ago. Waits for its turn, as any writer."""
    with StoreConnection.of(store).write() as cursor:
        cursor.execute("UPDATE {db}.corporate_action_check SET checked_at = checked_at - INTERVAL 2 DAY")
