"""Reads short series whole before this process is forked, so that the forked processes need not open DuckDB.

To start DuckDB and to read a few series takes a process 40 ms of CPU time, which is much for a short backtest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.first_bars import FirstBars
from lumibot_duckdb.storage.bars.ingests import ingests_of
from lumibot_duckdb.storage.bars.kept_series import KeptBars
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.pinned_bars import PinnedBars

_MOST_ROWS = 25_000
"""A longer series is not kept, since hardly any backtest needs all of it. This is a hundred years of days."""
_WAIT_SECONDS = 1.0


def keep_series(store: OpenStore, series_ids: Iterable[int]) -> None:
    """Keep the current bars of some series, and what a first touch reads beside them; close the file again.

    Series without bars, long ones, and those for which there is no room are left out. Nothing is kept while a writer is
    at work. Raises `StorageError` if the store cannot be read.
    """
    if not store.connection.opens_at_once():
        return
    try:
        with store.connection.read(_WAIT_SECONDS):
            if not store.refresh(upgrade=False):
                return
            bars = PinnedBars(store)
            for pin in _short_series(store, series_ids):
                store.head_page(pin.series_id)
                if not store.kept.add(_kept(store, bars.whole(pin))):
                    return
    finally:
        store.connection.close()


def _short_series(store: OpenStore, series_ids: Iterable[int]) -> Iterator[SeriesPin]:
    for series_id in series_ids:
        record, head = store.catalog.record(series_id), store.catalog.head(series_id)
        if record is not None and head is not None and 0 < head.rows <= _MOST_ROWS:
            yield SeriesPin(record.key, series_id, head.version_id, head.ingest_id, head.ingested_at)


def _kept(store: OpenStore, bars: FirstBars) -> KeptBars:
    last = int(bars.times[-1])
    with store.read_pinned(bars.pin) as cursor:
        writes = ingests_of(cursor, bars.pin, [TimeRange(last, last + 1)], None)
    return KeptBars(_copied(bars), writes)


def _copied(bars: FirstBars) -> FirstBars:
    """Return bars that do not refer to memory of DuckDB, which is closed before a fork."""
    return replace(bars, table=bars.table.take(pa.array(np.arange(len(bars.times)))), times=bars.times.copy())
