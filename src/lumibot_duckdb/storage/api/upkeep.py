"""Keeping a store small, sound and measured."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.types import AssetLike, OnRows, SeriesKey, StoreStatistics, TimeRange, WriteResult

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.export.exporter import ExportReport
    from lumibot_duckdb.storage.upkeep.verification import VerificationReport


class Upkeep(ABC):
    """Looks after the store file."""

    @abstractmethod
    def compact(self, grace: timedelta = timedelta(days=1), on_rows: OnRows | None = None) -> CompactionReport:
        """Rewrite the file: small, and with bars in the order in which they are read.

        Other processes have to wait only at the end. The free disk space must be at least the size of the store.

        Args:
            grace: Versions that were superseded longer ago than this are removed. A backtest that still reads one of
                them gets `VersionGoneError`.
            on_rows: Called with the number of bars copied so far and the number of all bars, for a progress bar. What
                it raises ends the compaction; the store is unchanged then.

        Raises:
            StoreNotFoundError: There is no store yet.
            StoreWriteError: The disk is full or failed. The store is unchanged.
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
    def import_exported(self, path: str | os.PathLike[str], on_rows: OnRows | None = None) -> tuple[WriteResult, ...]:
        """Restore exported series: assets, columns, dtypes, bars, coverage, metadata of writes, splits and dividends.

        A series that the store lacks becomes what it was. To a series that it has, bars are added by the rules of
        `store_ohlcv_data`: a bar that differs begins a new version. Each file is one transaction in the first case, and
        one for every write with other metadata in the second.

        Args:
            path: The folder of an export, or one file in it.
            on_rows: Called with how many bars of the current file are read, and how many it has. It must not raise.

        Returns:
            What was done for each series.

        Raises:
            InvalidExportError: A file is missing, was changed or does not fit its manifest, or its prices are adjusted
                for other splits than the store knows. Nothing of it is stored.
            StoreBusyError: Other processes held the store for too long.
            StoreWriteError: The disk is full or failed.
        """

    @abstractmethod
    def verify(self) -> VerificationReport:
        """Read the whole store from the disk, and report damage and implausible bars. Changes nothing.

        Raises `StoreDamagedError` if the file cannot even be opened.
        """

    @abstractmethod
    def statistics(self) -> StoreStatistics:
        """Return the size and contents of the store, and what was done with it through this storage."""

    @abstractmethod
    def is_outdated(self) -> bool:
        """Return whether an older release created the store, so that nearly every call would upgrade it first.

        Neither this method nor `MigratedFiles.rows` upgrades it.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the file. The storage may be used again, which opens the file again."""
