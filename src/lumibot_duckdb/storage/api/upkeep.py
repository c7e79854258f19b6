"""Keeping a store small, sound and measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.types import OnRows, SeriesInfo, SeriesKey, StoreStatistics

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.findings import VerificationReport
    from lumibot_duckdb.storage.upkeep.repair import RepairReport


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
            >>> _ = storage.store_ohlcv_data("AAPL", bars, "my_csv", "day")
            >>> report = storage.verify(storage.list_series("AAPL"))
            >>> report.sound, [(finding.severity, finding.check, finding.count) for finding in report.findings]
            (True, [('warning', 'impossible_bars', 1)])
        """

    @abstractmethod
    def repair(
        self, bad_bars_of: Sequence[SeriesInfo] = (), on_rows: OnRows | None = None, *, dry_run: bool = False
    ) -> RepairReport:
        """Repair the damage that `verify` finds, as far as that is possible from what is stored.

        Each repair of bars begins a new version of the series, so `undo_repair` can undo it until a compaction removes
        the version from before. A bar that is stored twice is kept once, the one that was written last. Where bars are
        not those that were stored, they are kept, and their coverage is removed, so that the next backtest requests
        them again.
        Outlines and records are computed again, and rows that belong to nothing are deleted.

        If blocks of the file cannot be read, everything else is copied into a new file, which takes its place, and the
        damaged file is kept beside it as `<store>.damaged-1`. Other processes wait meanwhile.

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
            >>> _ = storage.store_ohlcv_data("MSFT", bars, "my_csv", "day")
            >>> (repair,) = storage.repair(storage.list_series("MSFT")).repairs
            >>> repair.removed, storage.get_historical_prices("MSFT", timeframe="day")["close"].tolist()
            (1, [10.5, 11.0])
            >>> _ = storage.undo_repair(repair.repair_id)
            >>> storage.get_historical_prices("MSFT", timeframe="day")["close"].tolist()
            [10.5, 11.0, 10.0]
        """

    @abstractmethod
    def undo_repair(self, repair_id: int) -> SeriesKey:
        """Make the bars and the coverage from before a repair current again; return the series.

        Args:
            repair_id: The id in the report of `repair`.

        Raises:
            RepairError: There is no such repair, or the series was written to since.
            VersionGoneError: A compaction has removed the bars from before it.
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
