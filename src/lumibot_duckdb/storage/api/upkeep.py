"""Keeping a store small, sound and measured."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.types import (
    AssetKey,
    AssetLike,
    OnBytes,
    OnRows,
    SeriesInfo,
    SeriesKey,
    Snapshot,
    StoreStatistics,
    TimeRange,
    WriteResult,
)

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


class Upkeep(ABC):
    """Looks after the store file."""

    @abstractmethod
    def compact(self, grace: timedelta | None = None, on_rows: OnRows | None = None) -> CompactionReport:
        """Rewrite the file: small, and with bars in the order in which they are read.

        Other processes have to wait only at the end. The free disk space must be at least the size of the store.

        Args:
            grace: Versions that were superseded longer ago than this are removed, unless a snapshot needs them. A
                backtest that still reads one of them gets `VersionGoneError`. Default: the setting `versions.keep`,
                which is one day unless it is set.
            on_rows: Called with the number of bars copied so far and the number of all bars, for a progress bar. What
                it raises ends the compaction; the store is unchanged then.

        Raises:
            StoreNotFoundError: There is no store yet.
            StoreWriteError: The disk is full or failed. The store is unchanged.
        """

    @abstractmethod
    def fragmentation(self, grace: timedelta | None = None) -> Fragmentation:
        """Return what a compaction would gain, in disk space and in the time of reads. Changes nothing.

        It looks at a few bars of each row group, which takes about a second for 42 million bars.

        Args:
            grace: Versions that were superseded longer ago than this are not needed, unless a snapshot needs them.
                Default: the setting `versions.keep`.

        Raises:
            StoreNotFoundError: There is no store yet.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02 09:30", periods=390, freq="min", tz="America/New_York")
            >>> bars = pd.DataFrame({"close": 10.0}, index=times)
            >>> _ = storage.store_ohlcv_data("KO", bars, "my_csv", "minute")
            >>> storage.fragmentation().row_groups_per_read
            1.0
        """

    @property
    @abstractmethod
    def settings(self) -> StoreSettings:
        """The settings of the store, by key; see `StoreSettings`."""

    @abstractmethod
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
        """Remove old bars with their coverage, so that a backtest that needs them downloads them again.

        Without `older_than` and `max_size`, the settings `prune.rules` and `prune.max-size` apply. A series is pruned
        in one transaction, small ones together with others, and its other bars begin a new version. A backtest that has
        pinned the old one gets `VersionGoneError` when it needs bars that it does not hold. Versions that were
        superseded longer ago than the setting `versions.keep` go, too, and a compaction returns the space to the disk,
        which needs as much free space as the store takes. What a snapshot needs stays, as do corporate actions,
        option chains and labels.

        Args:
            older_than: Remove the bars that start longer ago than this. Bars of the day (in New York) that began so
                long ago stay.
            symbols: Prune only series of these assets, by symbol or name: "SPY", "SPY stock", "BTC/USD". Each may be a
                pattern such as "BRK*" or "*/USD".
            source: Prune only series of this source.
            timeframe: Prune only series of this timeframe.
            adjustment: Prune only series with this adjustment; "" for unadjusted bars.
            max_size: Delete whole series until the store takes at most so many bytes, those first that were not read
                or written for the longest time. None is deleted if that cannot make the store small enough.
            dry_run: Change nothing, and report what would be done.
            on_step: Receives what is done now, and how much of how much of it is done, for a progress bar.

        Raises:
            ValueError: There is a selection but neither `older_than` nor `max_size`, or one of them is negative.
            StoreNotFoundError: There is no store yet.
            StoreWriteError: The disk is full or failed. Each series is pruned or unchanged.

        Example:
            >>> from datetime import timedelta
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2014-01-02", periods=3, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("GE", pd.DataFrame({"close": 10.0}, index=times), "my_csv", "day")
            >>> report = storage.prune(timedelta(days=3650), ["GE"], dry_run=True)
            >>> [(pruned.key.label(), pruned.bars) for pruned in report.pruned]
            [('GE stock, day bars from my_csv', 3)]
        """

    @abstractmethod
    def snapshot(self, name: str) -> Snapshot:
        """Name the present state of all series, to read it later with `as_of=name`.

        Compactions and `prune` keep the bars that a snapshot needs, and `delete_series` refuses to delete its series.
        Corporate actions, option chains and labels have no versions: the current ones are read.

        Args:
            name: Up to 100 letters, digits, "-", "_" and ".", but not a time.

        Raises:
            SnapshotError: The name is unusable or taken.
            StoreNotFoundError: There is no store yet.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": [10.0, 11.0, 12.0]}, index=times)
            >>> _ = storage.store_ohlcv_data("TSLA", bars, "my_csv", "day")
            >>> storage.snapshot("before-correction").name
            'before-correction'
            >>> _ = storage.store_ohlcv_data("TSLA", bars * 2, "my_csv", "day")
            >>> storage.get_historical_prices("TSLA", timeframe="day", as_of="before-correction")["close"].tolist()
            [10.0, 11.0, 12.0]
            >>> storage.delete_snapshot("before-correction")
        """

    @abstractmethod
    def snapshots(self, of: SeriesKey | None = None) -> list[Snapshot]:
        """Return all snapshots, or those that have a series, earliest first."""

    @abstractmethod
    def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot. The next compaction removes the bars that only it needed.

        Raises `SnapshotNotFoundError`.
        """

    @abstractmethod
    def backup(
        self, path: str | os.PathLike[str], *, replace: bool = False, on_rows: OnRows | None = None
    ) -> BackupReport:
        """Copy the whole store to a file, with all versions, coverage, option chains, labels, settings and snapshots.

        The copy is the store at one moment. Other processes read and write meanwhile; writes wait only at the end.
        Downloads that wait in the spool are merged first. The file appears when it is complete. It is a store that can
        be opened like any other.

        Args:
            path: The file. Its folder must exist.
            replace: Replace a file that is there.
            on_rows: Called with the number of bars copied so far and of all bars. What it raises ends the backup.

        Raises:
            FileExistsError: There is a file, and `replace` is false.
            ValueError: The path is that of the store itself, or of a folder.
            StoreNotFoundError: There is no store yet.
            StoreWriteError: The folder is missing or not writable, or the disk is full. Nothing is left there.

        Example:
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> import pandas as pd
            >>> storage = DuckDBDataStorage()
            >>> day = pd.DataFrame({"close": [1.0]}, index=pd.to_datetime(["2024-01-02"]).tz_localize("UTC"))
            >>> added = storage.store_ohlcv_data("AAPL", day, source="mine", timeframe="day").added
            >>> file = storage.path.with_name("backup.duckdb")
            >>> storage.backup(file).rows
            1
            >>> deleted = storage.delete_series("AAPL")
            >>> report = storage.restore(file)
            >>> report.restored, storage.get_historical_prices("AAPL", timeframe="day")["close"].tolist()
            (True, [1.0])
        """

    @abstractmethod
    def restore(
        self,
        path: str | os.PathLike[str],
        *,
        dry_run: bool = False,
        confirm: Callable[[RestoreReport], bool] | None = None,
        keep_replaced: bool = True,
        on_bytes: OnBytes | None = None,
    ) -> RestoreReport:
        """Replace the store by a backup, which may be from an older release.

        The backup is copied and verified before the store is locked. Every process that uses the store notices: what
        was stored after the backup is gone then, also for pins, which raise `VersionGoneError`. The store that is
        replaced, with what waits in its spool, is kept as `<name>.replaced-<time>.duckdb` beside it. A store that is
        damaged can be replaced, too.

        Args:
            path: The backup.
            dry_run: Check the backup and compare it with the store, but change nothing.
            confirm: Called with the report before the store is replaced; the store stays if it returns False.
            keep_replaced: False deletes the store that is replaced, and what waits in its spool.
            on_bytes: Called with the number of bytes copied so far and of all bytes.

        Raises:
            StoreNotFoundError: There is no file at `path`.
            StoreDamagedError: It is not a store, or it is damaged.
            StoreVersionError: It was written by a newer release.
            ReplicaError: It is a replica, which lacks superseded versions.
            StoreBusyError: Other processes have the store open for too long. The message names them.
            StoreWriteError: The disk is full or failed. The store is unchanged.
        """

    @abstractmethod
    def replica(self, path: str | os.PathLike[str], *, on_rows: OnRows | None = None) -> ReplicaReport:
        """Write a read-only copy for notebooks and other programs, with the current bars; or refresh one.

        A program that has a replica open never blocks a write to the store. Refreshing replaces the file by renaming,
        so such a program continues with the old one. Nothing is copied if the store has not changed.

        Args:
            path: The file. Its folder must exist.
            on_rows: Called with the number of bars copied so far and of all bars. What it raises ends the work.

        Raises:
            FileExistsError: There is a file that is not a replica of this store.
            ValueError: The path is that of the store itself, or of a folder.
            StoreNotFoundError: There is no store yet.
            StoreWriteError: The folder is missing or not writable, or the disk is full. A replica stays unchanged.

        Example:
            >>> import duckdb
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> day = pd.DataFrame({"close": [1.0]}, index=pd.to_datetime(["2024-01-02"]).tz_localize("UTC"))
            >>> added = storage.store_ohlcv_data("NVDA", day, source="mine", timeframe="day").added
            >>> file = storage.path.with_name("replica.duckdb")
            >>> storage.replica(file).refreshed, storage.replica(file).refreshed
            (True, False)
            >>> with duckdb.connect(file, read_only=True) as connection:
            ...     connection.sql("SELECT close FROM ohlcv_data WHERE asset_symbol = 'NVDA'").fetchall()
            [(1.0,)]
        """

    @abstractmethod
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
        """Write series, or the result of a query, to files that every tool reads.

        Each series has a file in Hive partitions: `source=…/timeframe=…/asset_type=…/symbol=…/bars-….parquet`, with a
        column `datetime` (bar starts in UTC), and the columns of the series. `import_exported`, and the command
        `import`, restore the series exactly. Others may write meanwhile; each series is consistent in itself.

        Args:
            folder: The folder, which must not exist or be empty. It is complete when it is there.
            series: The series: assets, of which all series are exported, or keys (default: everything).
            query: Export the result of this one read-only statement instead, as `sql` runs it, as `query.parquet`.
            within: Export only the bars that start in this range, and coverage in it.
            file_format: "parquet" (compressed with zstd), "csv" or "arrow" (the Arrow IPC format, with zstd).
            replace: The folder may have an export, which the new one replaces when it is complete.
            dry_run: Write nothing, and return what would be written, with estimated sizes.
            on_rows: Called with how many bars of how many are done, for a progress bar; with a query, the second
                number is 0. What it raises ends the export, and nothing of it is left.

        Returns:
            The files with their numbers of rows and sizes. A series that is deleted meanwhile is left out.

        Raises:
            InvalidExportError: The folder has something in it already, or a file cannot hold the values.
            SeriesNotFoundError: The store has no series of an asset, or none at all.
            StoreWriteError: The disk is full or failed. Nothing of the export is left.
            ValueError: The query does more than read the store, or it is not exactly one statement.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": [10.0, 11.0, 12.0]}, index=times)
            >>> _ = storage.store_ohlcv_data("ORCL", bars, "my_csv", "day")
            >>> storage.export("exported", ["ORCL"]).rows
            3
            >>> copy = DuckDBDataStorage("copy.duckdb")
            >>> [result.added for result in copy.import_exported("exported")]
            [3]
        """

    @abstractmethod
    def import_exported(
        self, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], on_rows: OnRows | None = None
    ) -> tuple[WriteResult, ...]:
        """Restore exported series: assets, columns, dtypes, bars, coverage, metadata of writes, splits and dividends.

        A series that the store lacks becomes what it was. To a series that it has, bars are added by the rules of
        `store_ohlcv_data`: a bar that differs begins a new version. In the first case, each file is stored in one
        transaction, short ones together with others; in the second, each write with other metadata is one.

        Args:
            path: The folder of an export, a file in it, or several files.
            on_rows: Called with how many bars of all files are read, and how many they have. It must not raise.

        Returns:
            What was done for each series.

        Raises:
            InvalidExportError: A file is missing, was changed or does not fit its manifest, or its prices are adjusted
                for other splits than the store knows. Nothing of it, and of others in its transaction, is stored.
            StoreBusyError: Other processes held the store for too long.
            StoreWriteError: The disk is full or failed.
        """

    @abstractmethod
    def verify(self, series: Sequence[SeriesInfo] | None = None, on_rows: OnRows | None = None) -> VerificationReport:
        """Read the whole store from the disk, and report damage and implausible bars. Changes nothing.

        Args:
            series: The series whose bars are checked for gaps, jumps as of splits, bad ticks and stale prices, such as
                `list_series()`. The checks for damage are always those of the whole store.
            on_rows: Called with the number of bars read so far and the number of all bars, for a progress bar.

        Raises:
            StoreNotFoundError: There is no store yet.
            StoreDamagedError: The file cannot even be opened.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> bars = pd.DataFrame({"high": [11.0, 11.5, 9.0], "close": [10.5, 11.0, 10.0]}, index=times)
            >>> _ = storage.store_ohlcv_data("INTC", bars, "my_csv", "day")
            >>> report = storage.verify(storage.list_series("INTC"))
            >>> report.sound, [(finding.severity, finding.check, finding.count) for finding in report.findings]
            (True, [('warning', 'impossible_bars', 1)])
        """

    @abstractmethod
    def repair(
        self, bad_bars_of: Sequence[SeriesInfo] = (), on_rows: OnRows | None = None, *, dry_run: bool = False
    ) -> RepairReport:
        """Repair the damage that `verify` finds, as far as that is possible from what is stored.

        Each repair of bars begins a new version of the series, so `undo_repair` can undo it until a compaction removes
        the version from before. If that version lacks bars, it is deleted at once, unless a snapshot needs it: a pin of
        it raises `VersionGoneError` instead of showing fewer bars. A bar that is stored twice is kept once, the one
        that was written last. Where bars are not those that were stored, they are kept, and their coverage is removed,
        so that the next backtest requests them again. Outlines and records are computed again, and rows that belong to
        nothing are deleted, as are damaged versions that are superseded, unless a snapshot needs them.

        If blocks of the file cannot be read, everything else is copied into a new file, which takes its place, and the
        damaged file is kept beside it as `<store>.damaged-1`. Other processes wait meanwhile. Coverage that cannot be
        read is lost, and the next backtest requests these ranges again.

        Args:
            bad_bars_of: Series whose impossible bars are dropped: prices that are missing, zero or negative, a high
                below another price, a low above one, a negative volume. The next backtest requests them again.
            on_rows: As for `verify`.
            dry_run: Report what would be done, and change nothing.

        Raises:
            StoreNotFoundError: There is no store yet.
            RepairError: Another process changed a series meanwhile. Earlier repairs of the call stay.
            StoreDamagedError: Blocks that cannot be read are in a table that nothing can replace: restore a backup.
            StoreWriteError: The disk is full or failed. The store is unchanged.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> bars = pd.DataFrame({"high": [11.0, 11.5, 9.0], "close": [10.5, 11.0, 10.0]}, index=times)
            >>> _ = storage.store_ohlcv_data("PFE", bars, "my_csv", "day")
            >>> (repair,) = storage.repair(storage.list_series("PFE")).repairs
            >>> repair.removed, storage.get_historical_prices("PFE", timeframe="day")["close"].tolist()
            (1, [10.5, 11.0])
            >>> _ = storage.undo_repair(repair.repair_id)
            >>> storage.get_historical_prices("PFE", timeframe="day")["close"].tolist()
            [10.5, 11.0, 10.0]
        """

    @abstractmethod
    def undo_repair(self, repair_id: int) -> SeriesKey:
        """Make the bars and the coverage from before a repair current again; return the series.

        Args:
            repair_id: The id in the report of `repair`.

        Raises:
            RepairError: There is no such repair, the series was written to since, or bars from before the repair are
                lost: their coverage would claim bars that are not there.
            VersionGoneError: A compaction has removed the bars from before it.
        """

    @abstractmethod
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
        """Rename an asset: all that is stored of it, or only what is from before a date.

        Without `from_date`, series of `old` become series of `new` with their coverage and history: `as_of` and pins of
        running backtests still find the bars that there were. With it, `old` was the symbol before that date, and `new`
        is the symbol since: bars and coverage from before it move to `new`, so that a backtest across the date sees one
        series. What is from that date on stays with `old`, which another company may use by now; `as_of` earlier than
        the rename still finds all bars under `old`, until a compaction removes superseded versions.

        Splits, dividends and option chains are renamed in the same way, unless a timeframe or an adjustment is given.
        So are labels, which the old asset keeps, too, if it has other series.
        If `new` has the series already, it gets the bars of both. To undo a rename, exchange `old` and `new`. All of it
        is one transaction.

        Args:
            old: The asset. A symbol means every asset that has it: the stock, and the options on it. A list of assets
                is renamed together.
            new: The new symbol, or, if `old` is one asset, another asset of the same type. It need not be stored.
            from_date: The first day, or moment, of the new symbol. A date or naive time is New York's; for daily bars
                that are stamped at midnight UTC, a date is one in UTC.
            source: Rename only series, splits, dividends and option chains of this source.
            timeframe: Rename only bars of this length.
            adjustment: Rename only bars with this adjustment.
            dry_run: Report what would be renamed, and change nothing.

        Returns:
            The renamed series, and how many splits, dividends, option chains and labels were renamed.

        Raises:
            SeriesNotFoundError: There is no such series, or none of it is from before `from_date`.
            UpkeepRefusedError: `new` has a bar with other values at the time of one of `old`, or columns that cannot be
                combined, or another value of a label. The message names the first of them. Nothing was changed.
            StoreNotFoundError: There is no store yet.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2022-06-06", periods=5, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": [194.3, 195.7, 196.6, 184.0, 175.6]}, index=times)
            >>> _ = storage.store_ohlcv_data("FB", bars[:3], "my_csv", "day")
            >>> _ = storage.store_ohlcv_data("META", bars[3:], "my_csv", "day")
            >>> storage.rename("FB", "META", "2022-06-09").bars
            3
            >>> storage.get_historical_prices("META", timeframe="day")["close"].tolist()
            [194.3, 195.7, 196.6, 184.0, 175.6]
        """

    @abstractmethod
    def merge(
        self,
        path: str | os.PathLike[str],
        *,
        refuse_conflicts: bool = False,
        dry_run: bool = False,
        on_rows: OnRows | None = None,
    ) -> MergeReport:
        """Add everything that another store has: series, coverage, splits, dividends, option chains and labels.

        Of series, the current versions are merged. If both stores have a bar with other values, the one that was
        requested later is kept; of two that were requested at the same time, the one with the greater values. If a
        series was restated in one store (a split, a correction) after bars of the other were requested, that other's
        bars are left out. So merging two stores in either order gives the same bars. Replaced bars remain in an earlier
        version.

        If both stores have a label with other values, the one that was set later is kept.

        The other store is opened read-only and not changed. All of it is read and checked before anything is written.
        Each series is one transaction, so an interrupted merge can be repeated, and gives the same result.

        Args:
            path: The other store: a file, of this schema or an older one. No program may write to it meanwhile.
            refuse_conflicts: Change nothing if a bar has other values in both stores.
            dry_run: Report what would be merged, and change nothing.
            on_rows: Called with the number of bars that were read, and of all that will be. All bars are read twice:
                for the check, and for the merge.

        Returns:
            What was added, the number of conflicts with the first ones, and the series that were left out.

        Raises:
            StoreNotFoundError: There is no file at `path`.
            StoreDamagedError: It is not a store, or it is damaged. Nothing was written.
            StoreVersionError: It was written by a newer release. Nothing was written.
            StoreBusyError: A program writes to it.
            UpkeepRefusedError: It is this store, or, with `refuse_conflicts`, there are conflicts.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage, other = DuckDBDataStorage(), DuckDBDataStorage("other.duckdb")
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> _ = other.store_ohlcv_data("AAPL", pd.DataFrame({"close": 10.0}, index=times), "my_csv", "day")
            >>> report = storage.merge(other.path)
            >>> report.bars_added, report.conflicts
            (5, 0)
        """

    @abstractmethod
    def statistics(self) -> StoreStatistics:
        """Return the size and contents of the store, and what was done with it through this storage."""

    @abstractmethod
    def growth(self, series: Iterable[SeriesInfo] | None = None) -> list[Growth]:
        """Return how the number of bars grew over time, by source and timeframe, in time order.

        The log of writes has this, so no bars are read. Intervals are minutes, ten minutes, hours or days (UTC), so
        that there are at most about 1,500 unless the store is older than four years. Those without a change are left
        out, and so are deleted series: the sum is the number of bars that there are.

        Args:
            series: Only these series, as `list_series` lists them (default: all).

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("MSFT", pd.DataFrame({"close": 10.0}, index=times), "my_csv", "day")
            >>> sum(change.bars for change in storage.growth(storage.list_series("MSFT")))
            5
        """

    @abstractmethod
    def stored_days(self, series: Iterable[SeriesInfo]) -> Iterator[tuple[SeriesInfo, Days]]:
        """Yield each of the series that has bars, with the calendar days (New York) on which bars start.

        This is faster than `outline` for many series, and needs little memory. A series that another process has
        changed or deleted since it was listed may be left out.

        Args:
            series: Series as `list_series` lists them.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02 09:30", periods=3, freq="min", tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("IBM", pd.DataFrame({"close": 10.0}, index=times), "my_csv", "minute")
            >>> series = storage.list_series("IBM")
            >>> [(info.key.asset.label(), days.bars.tolist()) for info, days in storage.stored_days(series)]
            [('IBM stock', [3])]
        """

    @abstractmethod
    def is_outdated(self) -> bool:
        """Return whether an older release created the store, so that nearly every call would upgrade it first.

        Neither this method nor `MigratedFiles.rows` upgrades it.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the file. The storage may be used again, which opens the file again."""
