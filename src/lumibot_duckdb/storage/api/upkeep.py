"""Keeping a store small, sound and measured."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.types import OnBytes, OnRows, StoreStatistics

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.backup import BackupReport
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.replica import ReplicaReport
    from lumibot_duckdb.storage.upkeep.restoration import RestoreReport
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
    def backup(
        self, path: str | os.PathLike[str], *, replace: bool = False, on_rows: OnRows | None = None
    ) -> BackupReport:
        """Copy the whole store to a file, with all versions, coverage, option chains, settings and snapshots.

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
            >>> added = storage.store_ohlcv_data("MSFT", day, source="mine", timeframe="day").added
            >>> file = storage.path.with_name("replica.duckdb")
            >>> storage.replica(file).refreshed, storage.replica(file).refreshed
            (True, False)
            >>> with duckdb.connect(file, read_only=True) as connection:
            ...     connection.sql("SELECT close FROM ohlcv_data WHERE asset_symbol = 'MSFT'").fetchall()
            [(1.0,)]
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
