"""Bytes on disk per candle, against Lumibot's own files."""

from __future__ import annotations

from benchmarks.bars import Workplace, bytes_in, open_store
from benchmarks.ccxt.bars import COINS, ccxt_store, lumibot_cache
from benchmarks.ccxt.sides import OPPONENT
from benchmarks.disk import compacted_bytes
from benchmarks.measure import Row, Sample, against


def bytes_a_bar(workplace: Workplace) -> list[Row]:
    """Disk space per candle: 10 coins with a year of minutes and days, in one store or in Lumibot's files."""
    store = ccxt_store(workplace)
    storage = open_store(store)
    rows = sum(series.rows for series in storage.list_series())
    storage.close()
    files = list(lumibot_cache(workplace).rglob("*.duckdb"))
    return [
        against(
            f"bytes on disk per candle, {COINS} coins x 1 year",
            "bytes",
            f"{OPPONENT} (a DuckDB file per market, three decimals)",
            Sample.of([bytes_in(store.parent) / rows]),
            Sample.of([sum(map(bytes_in, files)) / rows]),
            note=f"After `compact` the store takes {compacted_bytes(store) / rows:.2f} bytes per candle.",
        )
    ]
