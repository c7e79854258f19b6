"""`StoredPublishing`: the `Publishing` of the DuckDB storage."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from lumibot_duckdb.publishing.api import Publishing
from lumibot_duckdb.storage.api import AsOf, OnBytes, OnRows, SeriesKey
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.errors import SeriesNotFoundError

if TYPE_CHECKING:
    from lumibot_duckdb.publishing.publication import PublishReport


class StoredPublishing(Publishing):
    """Publishes the store. The work is imported when it is called."""

    _store: OpenStore

    def publish(
        self,
        target: str | os.PathLike[str],
        series: Collection[SeriesKey] | None = None,
        *,
        as_of: AsOf | None = None,
        keep: int | None = None,
        on_rows: OnRows | None = None,
        on_bytes: OnBytes | None = None,
    ) -> PublishReport:
        from lumibot_duckdb.publishing.publication import publish

        ids = None if series is None else [self._id_of(key) for key in series]
        return publish(self._store, os.fspath(target), ids, as_of=as_of, keep=keep, on_rows=on_rows, on_bytes=on_bytes)

    def _id_of(self, key: SeriesKey) -> int:
        record = self._store.catalog.find(key) if self._store.refresh() else None
        if record is None:
            raise SeriesNotFoundError(f"the store has no {key.label()}")
        return record.series_id
