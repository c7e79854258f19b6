"""`StoredUpkeep`: the `Upkeep` of the DuckDB storage.

What no backtest needs is imported by the methods that use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import (
    AssetKey,
    AssetLike,
    OnBytes,
    OnRows,
    SeriesInfo,
    SeriesKey,
    Snapshot,
    StoreStatistics,
    TimeRange,
    Upkeep,
    WriteResult,
)
from lumibot_duckdb.storage.bars import snapshots
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import SpoolContents
from lumibot_duckdb.storage.connection.duckdb_errors import DamagedBlockError
from lumibot_duckdb.storage.errors import InvalidExportError
from lumibot_duckdb.storage.times import naive_utc, utc_now

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.outline import Days
    from lumibot_duckdb.storage.upkeep.backup import BackupReport
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.export.exporter import ExportReport
    from lumibot_duckdb.storage.upkeep.findings import VerificationReport
    from lumibot_duckdb.storage.upkeep.fragmentation import Fragmentation
    from lumibot_duckdb.storage.upkeep.growth import Growth
    from lumibot_duckdb.storage.upkeep.merging import MergeReport
    from lumibot_duckdb.storage.upkeep.prune_plan import PruneReport
    from lumibot_duckdb.storage.upkeep.pruning import OnStep
    from lumibot_duckdb.storage.upkeep.renaming import RenameReport
    from lumibot_duckdb.storage.upkeep.repair import RepairReport
    from lumibot_duckdb.storage.upkeep.replica import ReplicaReport
    from lumibot_duckdb.storage.upkeep.restoration import RestoreReport
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings


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

    def fragmentation(self, grace: timedelta | None = None) -> Fragmentation:
        from lumibot_duckdb.storage.upkeep import compaction

        self._store.require()
        if grace is None:
            grace = self.settings.get("versions.keep")
        return compaction.fragmentation(self._store.connection, grace)

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

    def import_exported(
        self, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], on_rows: OnRows | None = None
    ) -> tuple[WriteResult, ...]:
        from lumibot_duckdb.storage.upkeep.export import restoring

        paths = [Path(each).expanduser() for each in ([path] if isinstance(path, str | os.PathLike) else path)]
        if len(paths) == 1 and paths[0].is_dir():
            return restoring.restore_folder(self._store, paths[0], on_rows)
        return restoring.restore_files(self._store, paths, on_rows)

    def prune(
        self,
        older_than: timedelta | None = None,
        symbols: Sequence[str] = (),
        source: str | None = None,
        timeframe: str | None = None,
        *,
        adjustment: str | None = None,
        max_size: int | None = None,
        dry_run: bool = False,
        on_step: OnStep | None = None,
    ) -> PruneReport:
        from lumibot_duckdb.storage.upkeep import prune_plan, pruning

        self._store.require()
        limits = prune_plan.limits(self.settings, older_than, symbols, source, timeframe, max_size, adjustment)
        if dry_run:
            return pruning.planned(self._store, limits)
        return pruning.prune(self._store, limits, on_step)

    def snapshot(self, name: str) -> Snapshot:
        store = self._store
        store.require()
        store.merge_spooled()
        with store.write() as cursor:
            return snapshots.add_snapshot(cursor, name, store.catalog.last_ingest, naive_utc(utc_now()))

    def snapshots(self, of: SeriesKey | None = None) -> list[Snapshot]:
        if not self._store.refresh():
            return []
        record = None if of is None else self._store.catalog.find(of)
        if of is not None and record is None:
            return []
        with self._store.read() as cursor:
            return (
                snapshots.stored_snapshots(cursor)
                if record is None
                else snapshots.snapshots_of(cursor, record.series_id)
            )

    def delete_snapshot(self, name: str) -> None:
        self._store.require()
        with self._store.write() as cursor:
            snapshots.delete_snapshot(cursor, name)

    def verify(self, series: Sequence[SeriesInfo] | None = None, on_rows: OnRows | None = None) -> VerificationReport:
        from lumibot_duckdb.storage.upkeep import verification

        self._require_damaged_or_not()
        return verification.verify(self._store.connection, series, on_rows)

    def repair(
        self, bad_bars_of: Sequence[SeriesInfo] = (), on_rows: OnRows | None = None, *, dry_run: bool = False
    ) -> RepairReport:
        from lumibot_duckdb.storage.upkeep import repair

        self._require_damaged_or_not()
        return repair.repair(self._store, bad_bars_of, on_rows, dry_run=dry_run)

    def _require_damaged_or_not(self) -> None:
        """Raise `StoreNotFoundError` if there is no store. One that damage keeps from being upgraded is checked too."""
        with suppress(DamagedBlockError):
            self._store.require()

    def undo_repair(self, repair_id: int) -> SeriesKey:
        from lumibot_duckdb.storage.upkeep import repair

        return repair.undo_repair(self._store, repair_id)

    def rename(
        self,
        old: AssetLike | list[AssetKey],
        new: AssetLike,
        from_date: date | datetime | str | None = None,
        *,
        source: str | None = None,
        timeframe: str | None = None,
        adjustment: str | None = None,
        dry_run: bool = False,
    ) -> RenameReport:
        from lumibot_duckdb.storage.upkeep import renaming

        request = renaming.Request.of(old, new, from_date, source, timeframe, adjustment)
        return renaming.rename(self._store, request, dry_run=dry_run)

    def merge(
        self,
        path: str | os.PathLike[str],
        *,
        refuse_conflicts: bool = False,
        dry_run: bool = False,
        on_rows: OnRows | None = None,
    ) -> MergeReport:
        from lumibot_duckdb.storage.upkeep import merging

        return merging.merge(self._store, Path(path), refuse_conflicts, dry_run=dry_run, on_rows=on_rows)

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

    def growth(self, series: Iterable[SeriesInfo] | None = None) -> list[Growth]:
        from lumibot_duckdb.storage.upkeep import growth

        if not self._store.refresh():
            return []
        ids = None if series is None else {info.series_id for info in series}
        with self._store.read() as cursor:
            return growth.growth(cursor, ids)

    def stored_days(self, series: Iterable[SeriesInfo]) -> Iterator[tuple[SeriesInfo, Days]]:
        from lumibot_duckdb.storage.upkeep import stored_days

        return stored_days.stored_days(self._store, series)

    def is_outdated(self) -> bool:
        return self._store.connection.exists() and not self._store.refresh(upgrade=False)

    def close(self) -> None:
        self._store.connection.close()
