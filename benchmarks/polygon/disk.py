"""Bytes on disk per Polygon bar, against Lumibot's own cache files."""

from __future__ import annotations

from benchmarks.bars import SYMBOLS, Workplace, bytes_in
from benchmarks.disk import compacted_bytes
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.bars import bar_files, lumibot_cache, polygon_store, rows_in
from benchmarks.polygon.sides import OPPONENT


def bytes_a_bar(workplace: Workplace) -> list[Row]:
    """Disk space per Polygon bar, with vwap and transactions: 20 symbols with two years of minutes."""
    files = bar_files(lumibot_cache(workplace))
    rows = rows_in(files)
    store = polygon_store(workplace)
    return [
        against(
            f"bytes on disk per bar, {SYMBOLS} symbols x 2 years",
            "bytes",
            f"{OPPONENT} (Parquet, snappy)",
            Sample.of([bytes_in(store.parent) / rows]),
            Sample.of([sum(map(bytes_in, files)) / rows]),
            at_least=2.0,
            budget="50 % less",
            note=f"After `compact` the store takes {compacted_bytes(store) / rows:.2f} bytes per bar.",
        )
    ]
