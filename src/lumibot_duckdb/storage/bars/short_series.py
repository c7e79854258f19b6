"""The bars of short series that were stored together, read by one query for a strategy that needs several of them.

An example is a walk through an option chain, which needs a price of each of many contracts. For a few thousand bars,
DuckDB takes longer to plan a query than to run it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesPin
from lumibot_duckdb.storage.bars.columns import in_time_order, pinned_parts, stored_rows
from lumibot_duckdb.storage.bars.first_bars import INGEST, FirstBars
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.outline_records import has_outline
from lumibot_duckdb.storage.catalog import Head
from lumibot_duckdb.storage.sql_conditions import is_one_of

VERSION = "version_id"
_ROWS = 50_000
"""How many bars are read ahead at most, 4 MB."""

_Snapshot: TypeAlias = "tuple[int, int]"
"""The ids of a version and of its last ingest."""


class ShortSeries:
    """Reads ahead the short series of a page of the catalog, beginning with the second that is needed."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._page: tuple[int, ...] = ()
        self._taken: set[int] = set()
        self._ahead: dict[_Snapshot, pa.Table] = {}
        self._read_last = 0

    def take(self, pin: SeriesPin) -> FirstBars | None:
        """Return all bars of a short series if they were read ahead, or are now; None if it must be read alone.

        They are not kept. More are read ahead once half of the last ones were needed.
        """
        page = self._store.catalog.page_of(pin.series_id)
        if page != self._page:
            self._page, self._taken, self._ahead, self._read_last = page, {pin.series_id}, {}, 0
            return None
        snapshot = (pin.version_id, pin.ingest_id)
        if snapshot not in self._ahead and pin.series_id not in self._taken and 2 * len(self._ahead) <= self._read_last:
            self._ahead = self._read(pin)
            self._read_last = len(self._ahead)
        self._taken.add(pin.series_id)
        table = self._ahead.pop(snapshot, None)
        if table is None or table.num_rows == 0:  # the version may be gone
            return None
        return FirstBars(pin, None, *in_time_order(table))

    def _read(self, pin: SeriesPin) -> dict[_Snapshot, pa.Table]:
        state = self._store.state(pin)
        snapshots = {
            head.version_id: head.ingest_id for head in self._heads_from(pin) if head.layout_id == state.layout_id
        }
        if len(snapshots) < 2:
            return {}
        condition = is_one_of(VERSION, snapshots)
        with self._store.read_pinned(pin) as cursor:
            table = stored_rows(cursor, state.layout.columns, condition, (VERSION, INGEST))
        self._store.counters.count_read(table.num_rows, table.nbytes)
        return {(version_id, snapshots[version_id]): rows for version_id, rows in pinned_parts(table, snapshots)}

    def _heads_from(self, pin: SeriesPin) -> Iterator[Head]:
        """Yield the heads of short series of the page that have not been taken, later ones first."""
        rows = 0
        for series_id in sorted(self._page, key=lambda each: each < pin.series_id):
            head = None if series_id in self._taken else self._store.catalog.head(series_id)
            if head is not None and not has_outline(head.rows):
                rows += head.rows
                if rows > _ROWS:
                    return
                yield head
