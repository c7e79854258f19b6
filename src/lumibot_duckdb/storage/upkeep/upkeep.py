"""`StoredUpkeep`: the `Upkeep` of the DuckDB storage.

Compaction, exports and verification are imported by the methods that run them, because no backtest needs them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import (
    AssetLike,
    OnRows,
    SeriesKey,
    StoreStatistics,
    TimeRange,
    Upkeep,
    WriteResult,
)
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import SpoolContents
from lumibot_duckdb.storage.errors import InvalidExportError

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.export.exporter import ExportReport
    from lumibot_duckdb.storage.upkeep.verification import VerificationReport


class StoredUpkeep(Upkeep):
    """Looks after the store file."""

    _store: OpenStore

    def compact(self, grace: timedelta = timedelta(days=1), on_rows: OnRows | None = None) -> CompactionReport:
        from lumibot_duckdb.storage.upkeep import compaction

        self._store.merge_spooled()
        self._store.require()
        return compaction.compact(self._store.connection, grace, on_rows)

    def export(
        self,
        folder: str | os.PathLike[str],
        series: Iterable[AssetLike | SeriesKey] | None = None,
        *,
        query: str | None = None,
        within: TimeRange | None = None,
        file_format: str = "parquet",
        replace: bool = False,
        dry_run: bool = False,
        on_rows: OnRows | None = None,
    ) -> ExportReport:
        from lumibot_duckdb.storage.upkeep.export import exporter

        place = Path(folder).expanduser()
        if query is not None:
            if series is not None or within is not None or dry_run:
                raise InvalidExportError("a query states itself what is exported: leave out series, within and dry_run")
            return exporter.export_query(self._store, place, query, file_format, replace=replace, on_rows=on_rows)
        self._store.merge_spooled()
        self._store.require()
        chosen = exporter.chosen_series(self._store, series)
        work = exporter.SeriesExporter(self._store, file_format, within)
        if dry_run:
            return work.plan(place, chosen, replace=replace)
        return work.export(place, chosen, replace=replace, on_rows=on_rows)

    def import_exported(self, path: str | os.PathLike[str], on_rows: OnRows | None = None) -> tuple[WriteResult, ...]:
        from lumibot_duckdb.storage.upkeep.export import restoring

        return restoring.restore_all(self._store, Path(path).expanduser(), on_rows)

    def verify(self) -> VerificationReport:
        from lumibot_duckdb.storage.upkeep import verification

        self._store.require()
        return verification.verify(self._store.connection)

    def statistics(self) -> StoreStatistics:
        store = self._store
        use = store.counters.usage()
        series = versions = rows = 0
        if store.refresh():
            with store.connection.read() as cursor:  # counting is not counted
                ((series, versions, rows),) = cursor.rows(
                    "SELECT (SELECT count(*) FROM {db}.series), (SELECT count(*) FROM {db}.series_version), "
                    "(SELECT count(*) FROM {db}.bar)"
                )
        spooled = store.spool.contents()
        return StoreStatistics(
            path=str(store.path),
            bytes_on_disk=sum(file.stat().st_size for file in (store.path, store.log) if file.exists()),
            series=series,
            versions=versions,
            rows=rows,
            reads=use.reads,
            rows_read=use.rows_read,
            cache_hits=store.results.hits,
            cache_bytes=store.results.bytes,
            seconds_in_storage=use.seconds,
            bytes_read=use.bytes_read,
            downloads=use.downloads,
            bars_downloaded=use.bars_downloaded,
            seconds_downloading=use.seconds_downloading,
            details={**store.counters.others(), **({} if spooled == SpoolContents() else {"spooled": spooled})},
        )

    def is_outdated(self) -> bool:
        return self._store.connection.exists() and not self._store.refresh(upgrade=False)

    def close(self) -> None:
        self._store.connection.close()
