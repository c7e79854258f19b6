"""Keeping a store small, sound and measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.types import OnRows, Snapshot, StoreStatistics

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.verification import VerificationReport


class Upkeep(ABC):
    """Looks after the store file."""

    @abstractmethod
    def compact(self, grace: timedelta = timedelta(days=1), on_rows: OnRows | None = None) -> CompactionReport:
        """Rewrite the file: small, and with bars in the order in which they are read.

        Other processes have to wait only at the end. The free disk space must be at least the size of the store.

        Args:
            grace: Versions that were superseded longer ago than this are removed, unless a snapshot needs them. A
                backtest that still reads one of them gets `VersionGoneError`.
            on_rows: Called with the number of bars copied so far and the number of all bars, for a progress bar. What
                it raises ends the compaction; the store is unchanged then.

        Raises:
            StoreNotFoundError: There is no store yet.
            StoreWriteError: The disk is full or failed. The store is unchanged.
        """

    @abstractmethod
    def snapshot(self, name: str) -> Snapshot:
        """Name the present state of all series, to read it later with `as_of=name`.

        Compactions and `prune` keep the bars that a snapshot needs, and `delete_series` refuses to delete its series.
        Corporate actions and option chains have no versions: they are read as they are.

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
    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots, earliest first."""

    @abstractmethod
    def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot. The bars that only it needed go with the next compaction.

        Raises `SnapshotNotFoundError`.
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
