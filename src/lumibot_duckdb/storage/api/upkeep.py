"""Keeping a store small, sound and measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.types import OnRows, Snapshot, StoreStatistics

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.prune_plan import PruneReport
    from lumibot_duckdb.storage.upkeep.pruning import OnStep
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings
    from lumibot_duckdb.storage.upkeep.verification import VerificationReport


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
        max_size: int | None = None,
        dry_run: bool = False,
        on_step: OnStep | None = None,
    ) -> PruneReport:
        """Remove old bars with their coverage, so that a backtest that needs them downloads them again.

        Without `older_than` and `max_size`, the settings `prune.rules` and `prune.max-size` apply. A series is pruned
        in one transaction, and its other bars begin a new version. A backtest that has pinned the old one gets
        `VersionGoneError` when it needs bars that it does not hold. Versions that were superseded longer ago than the
        setting `versions.keep` go, too, and a compaction returns the space to the disk, which needs as much free space
        as the store takes. What a snapshot needs stays, as do corporate actions and option chains.

        Args:
            older_than: Remove the bars that start longer ago than this. Bars of the day (in New York) that began so
                long ago stay.
            symbols: Prune only series with these symbols, which may be patterns such as "BRK*".
            source: Prune only series of this source.
            timeframe: Prune only series of this timeframe.
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
        Corporate actions and option chains have no versions: the current ones are read.

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
        """Delete a snapshot. The next compaction removes the bars that only it needed.

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
