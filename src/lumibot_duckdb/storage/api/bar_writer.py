"""How bars get into the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lumibot_duckdb.storage.api.types import (
    AssetLike,
    BarFrame,
    BatchOutcome,
    BatchWrite,
    OnRows,
    SeriesKey,
    TimeRange,
    WriteResult,
)


class BarWriter(ABC):
    """Writes bars and what they cover. `asset` is an `AssetKey`, a Lumibot `Asset`, a `(base, quote)` pair or a symbol.

    Every write first merges what waits in the spool, up to 100,000 bars; `merge_spooled` merges everything.
    """

    @abstractmethod
    def store_ohlcv_data(
        self,
        asset: AssetLike,
        data: BarFrame,
        source: str,
        timeframe: str,
        *,
        adjustment: str = "",
        exchange: str | None = None,
        covered: TimeRange | None = None,
        replace: bool = False,
        metadata: Mapping[str, Any] | None = None,
        onto: int | None = None,
        asked_at: datetime | None = None,
        also_covered: Sequence[TimeRange] = (),
        provisional: Sequence[TimeRange] | None = None,
        on_rows: OnRows | None = None,
        spool: bool = False,
    ) -> WriteResult:
        """Store bars. Storing the same bars again changes nothing.

        New times are added to the current version of the series. If a stored bar changes, a new version of the whole
        series is written, and the old one stays for pins and `as_of` until a compaction.

        Args:
            asset: The asset.
            data: The bars: a pandas frame that is indexed by tz-aware bar starts (whole seconds, no duplicates, in any
                order); or a polars frame, an Arrow table or anything else with `__arrow_c_stream__`, with exactly one
                column of tz-aware timestamps that is named datetime, timestamp, time, date or ts. Stored bars keep
                their values in columns that `data` lacks, unless `replace`.
            source: The name of the source, one word such as "polygon" or "my_csv".
            timeframe: The length of the bars, such as "minute", "5minute", "1h" or "day".
            adjustment: The source's word for the adjustment; "" for unadjusted bars.
            exchange: The exchange on which the asset trades, if that is to be part of its identity.
            covered: The range that was requested from the source. Default: from the first bar to the end of the last.
            replace: `data` is all there is in `covered`: stored bars in that range which `data` lacks are removed.
            metadata: Anything that JSON can express, kept with this write.
            onto: The version that the bars continue; they are refused if it is not the current one.
            asked_at: When the source was queried (tz-aware; default: now). Bars that had not closed by then are not
                covered, and provisional ranges expire relative to it.
            also_covered: Further ranges that the same response covers.
            provisional: The parts of these ranges that the response does not prove, such as trading time after its
                last bar. They expire after 24 hours if they end within the last seven days, and after 30 days
                otherwise; if a response after that does not prove them either, they become permanent. Default: nothing
                if there are bars, everything if there are none.
            on_rows: Called with the number of bars written so far and the number of all bars, for a progress bar, from
                any thread. It must not raise. The last call, with all bars, follows the commit.
            spool: If another program holds the store, keep the bars beside it at once, instead of waiting for it and
                raising `StoreBusyError`. The next write by any process merges them.

        Returns:
            How many bars were added, changed, removed, unchanged or spooled, and the current version.

        Raises:
            InvalidBarsError: The arguments are unusable. The message names the asset and the first bad row.
            HistoryRestatedError: `onto` is not the current version any more.
            StoreBusyError: Other processes held the store for too long.
            StoreWriteError: The disk is full or failed.

        Nothing is stored when an error is raised, unless a disk fails during the commit; the message says so then, and
        writing the same again is safe. If the store is busy or cannot be written, bars that came with `covered` are a
        download: they are kept beside the store, and the next write by any process merges them.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02 09:30", periods=3, freq="min", tz="America/New_York")
            >>> bars = pd.DataFrame({"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 100}, index=times)
            >>> storage.store_ohlcv_data("AAPL", bars, "my_csv", "minute").added
            3
            >>> storage.store_ohlcv_data("AAPL", bars, "my_csv", "minute").unchanged
            3
        """

    @abstractmethod
    def store_many(
        self, bars: Mapping[SeriesKey, BarFrame], *, metadata: Mapping[str, Any] | None = None, spool: bool = False
    ) -> list[WriteResult]:
        """Store bars of several series in one transaction: all of them, or none.

        Each write is as by `store_ohlcv_data`, and covers the time from the first bar to the end of the last. For
        short series, this is several times faster. Other processes wait meanwhile, so pass some hundred series at most.

        Args:
            bars: The bars of each series.
            metadata: Anything that JSON can express, kept with each write.
            spool: If other processes hold the store, spool the bars instead of waiting.

        Returns:
            What each write did, in the same order.

        Raises:
            InvalidBarsError: Some bars cannot be stored; the message names the series, the row and the reason.
            StoreBusyError: Other processes held the store for too long.
            StoreWriteError: The disk is full or failed. Nothing was stored.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> from lumibot_duckdb.storage.api import AssetKey, SeriesKey
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": 160.0}, index=times)
            >>> series = [SeriesKey(AssetKey(symbol), "my_csv", "day", "") for symbol in ("HPQ", "DELL")]
            >>> [result.added for result in DuckDBDataStorage().store_many(dict.fromkeys(series, bars))]
            [5, 5]
        """

    @abstractmethod
    def store_batch(self, batch: Sequence[BatchWrite]) -> list[BatchOutcome]:
        """Store bars of several series with what they cover, in one transaction; spool what cannot be stored now.

        For what cannot wait or be asked for again, such as a recorder of live bars. It waits a quarter of a second for
        other processes, then keeps the bars beside the store, as if the disk fails. A write that is refused, or whose
        series was restated since `asked_at`, does not keep the others from being stored.

        Args:
            batch: Writes to different series.

        Returns:
            What became of each write, in the same order. No failure is raised.

        Raises:
            ValueError: Two writes are to the same series.

        Example:
            >>> import pandas as pd
            >>> from datetime import datetime, timezone
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> from lumibot_duckdb.storage.api import AssetKey, BatchWrite, SeriesKey, TimeRange
            >>> times = pd.date_range("2024-01-02 14:30", periods=2, freq="min", tz="UTC")
            >>> batch = [
            ...     BatchWrite(
            ...         SeriesKey(AssetKey(symbol), "my_feed", "minute"),
            ...         pd.DataFrame({"close": [160.0, 160.1]}, index=times),
            ...         covered=(TimeRange(1704205800, 1704205920),),
            ...         asked_at=datetime(2024, 1, 2, 14, 32, 5, tzinfo=timezone.utc),
            ...     )
            ...     for symbol in ("HPQ", "DELL")
            ... ]
            >>> [outcome.result.added for outcome in DuckDBDataStorage().store_batch(batch)]
            [2, 2]
        """

    @abstractmethod
    def merge_spooled(self) -> int:
        """Make the writes that wait in the spool, and return how many were merged.

        They are covered only when they are written, so merge before looking at coverage to decide on a download. Bars
        that were requested later are not changed.
        Raises `StoreBusyError` and `StoreWriteError`; downloads that are not merged keep waiting.
        """

    @abstractmethod
    def record_coverage(
        self, asset: AssetLike, covered: TimeRange, source: str, timeframe: str, *, adjustment: str = ""
    ) -> None:
        """Record that a range was requested and that the response was empty: the range is provisional.

        See `provisional` of `store_ohlcv_data`.
        """

    @abstractmethod
    def forget_coverage(self, key: SeriesKey | Iterable[SeriesKey], within: TimeRange | None = None) -> None:
        """Forget that a range (default: everything) of a series was requested, so that it is requested again.

        Stored bars stay. A running backtest is not affected. If there is no such series, nothing happens.

        Args:
            key: The series. Several ones are changed together, in one transaction.
            within: The range.

        Raises:
            StoreBusyError: Other processes held the store for too long.
            StoreWriteError: The disk is full or failed.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> key = storage.store_ohlcv_data("AAPL", pd.DataFrame({"close": 10.0}, index=times), "my_csv", "day").key
            >>> storage.forget_coverage(key)
            >>> storage.coverage(key), len(storage.get_historical_prices("AAPL", timeframe="day"))
            ([], 3)
        """

    @abstractmethod
    def restate_series(self, asset: AssetLike, source: str, timeframe: str, *, adjustment: str = "") -> None:
        """Begin a new version of a series, without bars or coverage, since its source gives other bars now.

        The old version stays for pins and `as_of` until a compaction. If there is no such series, nothing happens.
        """

    @abstractmethod
    def delete_series(
        self,
        asset: AssetLike,
        source: str | None = None,
        timeframe: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> int:
        """Delete all matching series, with all their versions, one after the other. This cannot be undone.

        A backtest that has pinned one of them gets `VersionGoneError` when it needs bars that it does not hold.

        Args:
            asset: The asset. A symbol without a type matches assets of any type.
            source: Delete only the series of this source.
            timeframe: Delete only the series of this timeframe.
            adjustment: Delete only the series of this adjustment ("" for unadjusted bars).

        Returns:
            The number of bars that the current versions had; 0 if nothing matches.

        Raises:
            SnapshotError: A snapshot has one of the series. None was deleted.
            StoreBusyError: Another process held the store for too long.
            StoreWriteError: The file could not be written; the series that is being deleted is unchanged.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("IBM", pd.DataFrame({"close": 160.0}, index=times), "my_csv", "day")
            >>> storage.delete_series("IBM", source="my_csv")
            5
        """

    @abstractmethod
    def delete_many(
        self, series: Iterable[SeriesKey], *, dry_run: bool = False, on_series: OnRows | None = None
    ) -> int:
        """Delete series by their keys, as `delete_series` does, in transactions of some hundred series each.

        Args:
            series: The series. One that does not exist is ignored.
            dry_run: Delete nothing, but raise and return the same.
            on_series: Receives how many of how many series are deleted.

        Returns:
            The number of bars that the current versions had.

        Raises:
            SnapshotError: A snapshot has one of the series. None was deleted.
            StoreBusyError: Another process held the store for too long.
            StoreWriteError: The file could not be written; the series that are not deleted yet are unchanged.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": 160.0}, index=times)
            >>> series = [storage.store_ohlcv_data(name, bars, "my_csv", "day").key for name in ("ORCL", "CSCO")]
            >>> storage.delete_many(series)
            10
        """
