"""`StoredUpkeep`: the `Upkeep` of the DuckDB storage.

Compaction and verification are imported by the methods that run them, because no backtest needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import OnRows, SeriesInfo, SeriesKey, StoreStatistics, Upkeep
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import SpoolContents

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.findings import VerificationReport
    from lumibot_duckdb.storage.upkeep.repair import RepairReport


class StoredUpkeep(Upkeep):
    """Looks after the store file."""

    _store: OpenStore

    def compact(self, grace: timedelta = timedelta(days=1), on_rows: OnRows | None = None) -> CompactionReport:
        from lumibot_duckdb.storage.upkeep import compaction

        self._store.merge_spooled()
        self._store.require()
        return compaction.compact(self._store.connection, grace, on_rows)

    def verify(self, series: Sequence[SeriesInfo] | None = None, on_rows: OnRows | None = None) -> VerificationReport:
        from lumibot_duckdb.storage.upkeep import verification

        self._store.require()
        return verification.verify(self._store.connection, series, on_rows)

    def repair(
        self, bad_bars_of: Sequence[SeriesInfo] = (), on_rows: OnRows | None = None, *, dry_run: bool = False
    ) -> RepairReport:
        from lumibot_duckdb.storage.upkeep import repair

        self._store.require()
        return repair.repair(self._store, bad_bars_of, on_rows, dry_run=dry_run)

    def undo_repair(self, repair_id: int) -> SeriesKey:
        from lumibot_duckdb.storage.upkeep import repair

        return repair.undo_repair(self._store, repair_id)

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
