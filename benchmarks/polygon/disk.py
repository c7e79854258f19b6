"""How many bytes a bar of Polygon's takes in our store, against Lumibot's own cache files."""

from __future__ import annotations

from benchmarks.bars import SYMBOLS, Workplace, bytes_in
from benchmarks.disk import compacted_bytes
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.bars import bar_files, lumibot_cache, polygon_store, rows_in
from benchmarks.polygon.sides import OPPONENT


def bytes_a_bar(workplace: Workplace) -> list[Row]:
    """Twenty symbols of Polygon's bars (vwap and transactions too) in one store, against Lumibot's cache files."""
    files = bar_files(lumibot_cache(workplace))
    rows = rows_in(files)
    store = polygon_store(workplace)
    return [
        against(
            f"bytes on disk a bar of Polygon's, {SYMBOLS} symbols x 2 years",
            "bytes",
            f"{OPPONENT} (Parquet, snappy)",
            Sample.of([bytes_in(store.parent) / rows]),
            Sample.of([sum(map(bytes_in, files)) / rows]),
            at_least=2.0,
            budget="50 % less",
            note=f"after `compact` the store takes {compacted_bytes(store) / rows:.2f} bytes a bar",
            why_short="prices with two decimals, an invented vwap with four and counts have little left to compress",
        )
    ]
