"""`StoredUpkeep`: the `Upkeep` of the DuckDB storage.

What does the work is imported by the methods, because no backtest needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import OnBytes, OnRows, StoreStatistics, Upkeep
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import SpoolContents

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.backup import BackupReport
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.replica import ReplicaReport
    from lumibot_duckdb.storage.upkeep.restoration import RestoreReport
    from lumibot_duckdb.storage.upkeep.verification import VerificationReport


class StoredUpkeep(Upkeep):
    """Looks after the store file."""

    _store: OpenStore

    def compact(self, grace: timedelta = timedelta(days=1), on_rows: OnRows | None = None) -> CompactionReport:
        from lumibot_duckdb.storage.upkeep import compaction

        self._store.merge_spooled()
        self._store.require()
        return compaction.compact(self._store.connection, grace, on_rows)

    def backup(
        self, path: str | os.PathLike[str], *, replace: bool = False, on_rows: OnRows | None = None
    ) -> BackupReport:
        from lumibot_duckdb.storage.upkeep import backup

        return backup.backup(self._store, path, replace=replace, on_rows=on_rows)

    def restore(
        self,
        path: str | os.PathLike[str],
        *,
        dry_run: bool = False,
        confirm: Callable[[RestoreReport], bool] | None = None,
        keep_replaced: bool = True,
        on_bytes: OnBytes | None = None,
    ) -> RestoreReport:
        from lumibot_duckdb.storage.upkeep import restoration

        return restoration.restore(
            self._store, path, dry_run=dry_run, confirm=confirm, keep_replaced=keep_replaced, on_bytes=on_bytes
        )

    def replica(self, path: str | os.PathLike[str], *, on_rows: OnRows | None = None) -> ReplicaReport:
        from lumibot_duckdb.storage.upkeep import replica

        return replica.refresh(self._store, path, on_rows=on_rows)

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
