"""Keeping a store small, sound and measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api.types import OnRows, SeriesInfo, StoreStatistics

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.outline import Days
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.growth import Growth
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
    def verify(self) -> VerificationReport:
        """Read the whole store from the disk, and report damage and implausible bars. Changes nothing.

        Raises `StoreDamagedError` if the file cannot even be opened.
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
