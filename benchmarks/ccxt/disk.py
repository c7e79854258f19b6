"""How many bytes a candle takes in our store, against Lumibot's own files."""

from __future__ import annotations

from benchmarks.bars import Workplace, bytes_in, open_store
from benchmarks.ccxt.bars import COINS, ccxt_store, lumibot_cache
from benchmarks.ccxt.sides import OPPONENT
from benchmarks.disk import compacted_bytes
from benchmarks.measure import Row, Sample, against


def bytes_a_bar(workplace: Workplace) -> list[Row]:
    """Ten coins with a year of minutes and days each in one store, against Lumibot's file for each."""
    store = ccxt_store(workplace)
    storage = open_store(store)
    rows = sum(series.rows for series in storage.list_series())
    storage.close()
    files = list(lumibot_cache(workplace).rglob("*.duckdb"))
    return [
        against(
            f"bytes on disk a candle, CCXT, {COINS} coins x 1 year",
            "bytes",
            f"{OPPONENT} (a DuckDB file for each market, three decimals)",
            Sample.of([bytes_in(store.parent) / rows]),
            Sample.of([sum(map(bytes_in, files)) / rows]),
            note=f"after `compact` the store takes {compacted_bytes(store) / rows:.2f} bytes a candle",
        )
    ]
