"""`StoredUpkeep`: the `Upkeep` of the DuckDB storage.

Compaction and verification are imported by the methods that run them, because no backtest needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import OnRows, Snapshot, StoreStatistics, Upkeep
from lumibot_duckdb.storage.bars import snapshots
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import SpoolContents
from lumibot_duckdb.storage.times import naive_utc, utc_now

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.prune_plan import PruneReport
    from lumibot_duckdb.storage.upkeep.pruning import OnStep
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings
    from lumibot_duckdb.storage.upkeep.verification import VerificationReport


class StoredUpkeep(Upkeep):
    """Looks after the store file."""

    _store: OpenStore

    @property
    def settings(self) -> StoreSettings:
        from lumibot_duckdb.storage.upkeep.settings import StoreSettings

        return StoreSettings(self._store)

    def compact(self, grace: timedelta | None = None, on_rows: OnRows | None = None) -> CompactionReport:
        from lumibot_duckdb.storage.upkeep import compaction

        self._store.merge_spooled()
        self._store.require()
        if grace is None:
            grace = self.settings.get("versions.keep")
        return compaction.compact(self._store.connection, grace, on_rows)

    def prune(
        self,
        older_than: timedelta | None = None,
        symbols: Sequence[str] = (),
        source: str | None = None,
        timeframe: str | None = None,
        *,
        max_size: int | None = None,
        dry_run: bool = False,
        on_step: OnStep | None = None,
    ) -> PruneReport:
        from lumibot_duckdb.storage.upkeep import prune_plan, pruning

        self._store.require()
        limits = prune_plan.limits(self.settings, older_than, symbols, source, timeframe, max_size)
        if dry_run:
            return pruning.planned(self._store, limits)
        return pruning.prune(self._store, limits, on_step)

    def snapshot(self, name: str) -> Snapshot:
        store = self._store
        store.require()
        store.merge_spooled()
        with store.write() as cursor:
            return snapshots.add_snapshot(cursor, name, store.catalog.last_ingest, naive_utc(utc_now()))

    def snapshots(self) -> list[Snapshot]:
        if not self._store.refresh():
            return []
        with self._store.read() as cursor:
            return snapshots.stored_snapshots(cursor)

    def delete_snapshot(self, name: str) -> None:
        self._store.require()
        with self._store.write() as cursor:
            snapshots.delete_snapshot(cursor, name)

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
