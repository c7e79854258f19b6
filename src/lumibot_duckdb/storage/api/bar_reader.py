"""How bars, and facts about them, are read from the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.storage.api.types import (
    AsOf,
    AssetLike,
    BarArrays,
    IngestInfo,
    SeriesFacts,
    SeriesInfo,
    SeriesKey,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.times import EpochSeconds

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from lumibot_duckdb.storage.bars.outline import Outline
    from lumibot_duckdb.storage.bars.repeats import Repeats


class BarReader(ABC):
    """Reads bars. `asset` is an `AssetKey`, a Lumibot `Asset`, a `(base, quote)` pair or a symbol.

    A symbol alone finds an asset of any type, and a pair without its quote is found if there is only one such pair.
    Methods that accept a `SeriesKey` as `asset` take the series from it and ignore `timeframe`, `source` and
    `adjustment`. Methods that take a pin raise `VersionGoneError` if its version was deleted or compacted away.
    """

    @abstractmethod
    def get_historical_prices(
        self,
        asset: AssetLike,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return bars exactly as they were stored: columns, dtypes and values.

        Args:
            asset: The asset.
            start: The first bar start to return (default: from the first bar). Naive times are New York's, as for
                Lumibot.
            end: Bars from this start on are not returned (default: up to the last bar).
            timeframe: The length of the bars.
            source: The source; not needed if only one source has such bars.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as it was at that moment (tz-aware), or in the snapshot of that name (default: now).

        Returns:
            A frame of the caller's own. Its index has bar starts in New York time and is named "datetime".

        Raises:
            SeriesNotFoundError: There is no such series, or there was none yet at `as_of`.
            SnapshotNotFoundError: There is no snapshot `as_of`.
            AmbiguousSeriesError: Several series match. The message names them.
            VersionGoneError: A compaction has removed the version of `as_of`.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": [10.0, 11.0, 12.0, 13.0, 14.0]}, index=times)
            >>> _ = storage.store_ohlcv_data("AAPL", bars, "my_csv", "day")
            >>> storage.get_historical_prices("AAPL", "2024-01-03", "2024-01-05", "day")["close"].tolist()
            [11.0, 12.0]
        """

    @abstractmethod
    def to_pandas(
        self,
        asset: AssetLike | SeriesKey,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return what `get_historical_prices` returns: its name beside `to_polars` and `to_arrow`."""

    @abstractmethod
    def to_polars(
        self,
        asset: AssetLike | SeriesKey,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pl.DataFrame:
        """Return bars as a polars frame.

        Arguments and exceptions are those of `get_historical_prices`.

        Returns:
            The column `datetime` (UTC) and the columns of the series, whose missing values are null.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("AAPL", pd.DataFrame({"close": [1.0, 2.0, 3.0]}, times), "my_csv", "day")
            >>> storage.to_polars("AAPL", timeframe="day", source="my_csv").columns
            ['datetime', 'close']
        """

    @abstractmethod
    def to_arrow(
        self,
        asset: AssetLike | SeriesKey,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pa.Table:
        """Return bars as an Arrow table, with the columns of `to_polars`."""

    # -- find series -----------------------------------------------------------------------------------------

    @abstractmethod
    def pin(
        self,
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> SeriesPin:
        """Pin a series: reads through the pin always return the bars that the series has at this moment.

        Args:
            asset: The asset, or the key of the series.
            timeframe: The length of the bars.
            source: The source; not needed if only one source has such bars.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Pin the series as it was at that moment (tz-aware), or in the snapshot of that name (default: now).

        Raises:
            SeriesNotFoundError: There is no such series, or there was none yet at `as_of`.
            SnapshotNotFoundError: There is no snapshot `as_of`.
            AmbiguousSeriesError: Several series match. The message names them.
        """

    @abstractmethod
    def check_as_of(self, as_of: AsOf) -> None:
        """Raise `SnapshotNotFoundError` if `as_of` is a text that is neither a snapshot's name nor a time.

        Raises `StoreNotFoundError` if there is no store yet.
        """

    @abstractmethod
    def facts(self, pin: SeriesPin) -> SeriesFacts:
        """Return columns, dtypes, number of bars, first and last bar of a pinned series, without reading its bars."""

    @abstractmethod
    def list_series(
        self, asset: AssetLike | None = None, source: str | None = None, timeframe: str | None = None
    ) -> list[SeriesInfo]:
        """Return the matching series with their coverage, sorted by symbol, source and timeframe; None matches any."""

    @abstractmethod
    def series(
        self, asset: AssetLike | None = None, source: str | None = None, timeframe: str | None = None
    ) -> pd.DataFrame:
        """Return the matching series as a frame, for people; `list_series` has the same for programs.

        Args:
            asset: Only the series of this asset.
            source: Only the series from this source.
            timeframe: Only the series with bars of this length.

        Returns:
            One row for each series, in the order of `list_series`. What identifies it: `symbol`, `asset_type`, `quote`,
            `exchange`, `expiration`, `strike`, `right`, `multiplier`, `source`, `timeframe`, `adjustment`. And what is
            stored and covered: `bars`, `first` and `last` (the starts of its first and last bar), `covered_from` and
            `covered_until`, `covered_ranges` (1 if there is no gap), `provisional_ranges` (how many expire). Times are
            New York time.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("META", pd.DataFrame({"close": [1.0, 2.0, 3.0]}, times), "my_csv", "day")
            >>> storage.series("META")[["symbol", "timeframe", "bars", "last"]]
              symbol timeframe  bars                      last
            0   META       day     3 2024-01-04 00:00:00-05:00
        """

    @abstractmethod
    def coverage(
        self,
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        permanent_only: bool = False,
        include_expired: bool = False,
        as_of: datetime | None = None,
    ) -> list[TimeRange]:
        """Return the ranges of the current version that were requested and answered, sorted and merged.

        `permanent_only` leaves out provisional ranges, which expire; `include_expired` adds those that have expired.
        With `as_of` (tz-aware), they are those that were known at that moment and had not expired then, as far as they
        were not forgotten since. A series that does not exist has none.
        Raises `AmbiguousSeriesError` if several series match.
        """

    @abstractmethod
    def missing_ranges(
        self,
        asset: AssetLike | SeriesKey,
        wanted: TimeRange,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> list[TimeRange]:
        """Return the parts of `wanted` that are not covered; see `coverage`."""

    # -- read a pinned series --------------------------------------------------------------------------------

    @abstractmethod
    def read_pandas(self, pin: SeriesPin, within: TimeRange | None = None) -> pd.DataFrame:
        """Return pinned bars, all or those that start `within` a range, as `get_historical_prices` returns them."""

    @abstractmethod
    def read_arrow(self, pin: SeriesPin, within: TimeRange | None = None) -> pa.Table:
        """Return pinned bars as an Arrow table: `datetime` (UTC) and the series' columns. Missing values are null."""

    @abstractmethod
    def read_polars(self, pin: SeriesPin, within: TimeRange | None = None) -> pl.DataFrame:
        """Return pinned bars as a polars frame: `datetime` (UTC) and the series' columns. Missing values are null."""

    @abstractmethod
    def read_bars(
        self,
        pin: SeriesPin,
        within: TimeRange | None = None,
        columns: Sequence[str] | None = None,
        *,
        remember: bool = True,
    ) -> BarArrays:
        """Return pinned bars as read-only NumPy arrays.

        Args:
            pin: The pinned series.
            within: The range of bar starts (default: all).
            columns: The names of the columns (default: all); `[]` gives the times alone.
            remember: Keep the result in the cache. Callers that keep the arrays themselves pass False.

        Returns:
            The arrays. Nullable columns with missing values, and text, are object arrays; times of a tz-aware column
            are in UTC.

        Raises:
            KeyError: The series has no such column.
        """

    @abstractmethod
    def read_column(
        self, pins: Sequence[SeriesPin], column: str, within: TimeRange | None = None
    ) -> dict[SeriesPin, BarArrays]:
        """Return one column of many pinned series as NumPy arrays, as `read_bars` does, but faster.

        Args:
            pins: The pinned series, each once.
            column: The name of the column.
            within: The range of bar starts (default: all).

        Raises:
            KeyError: A series has no such column.
        """

    @abstractmethod
    def read_larger_bars(
        self,
        pin: SeriesPin,
        timeframe: str,
        within: TimeRange | None = None,
        *,
        zone: str = "America/New_York",
    ) -> BarArrays:
        """Return larger bars, made of pinned bars in the database. Only the result takes memory.

        A larger bar has the first open, the highest high, the lowest low, the last close and the sum of volumes. Bars
        without a finite close are left out; a missing open, high or low counts as the close.

        Args:
            pin: The pinned series.
            timeframe: The length of the larger bars. Days begin at midnight in `zone`, weeks on Monday, and shorter
                bars are counted from midnight, as by the SQL macro `resample`.
            within: The range of bar starts (default: all). Larger bars at its ends are made of the bars within it.
            zone: The name of a time zone.

        Returns:
            Arrays `open`, `high`, `low`, `close` and `volume`, missing values as NaN, and `bars`, the number of bars
            that each was made of.

        Raises:
            ValueError: There is no such timeframe.
            InvalidBarsError: One of these columns has text.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-01", periods=10, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": range(10), "volume": 5}, index=times)
            >>> _ = storage.store_ohlcv_data("IBM", bars, "my_csv", "day")
            >>> weeks = storage.read_larger_bars(storage.pin("IBM", "day"), "week")
            >>> {name: weeks.columns[name].tolist() for name in ("open", "close", "volume", "bars")}
            {'open': [0.0, 7.0], 'close': [6.0, 9.0], 'volume': [35.0, 15.0], 'bars': [7, 3]}
        """

    @abstractmethod
    def ingests(
        self, pin: SeriesPin, within: Sequence[TimeRange] | None = None, *, having: str | None = None
    ) -> tuple[IngestInfo, ...]:
        """Return the writes that stored the pinned bars (those in `within`), earliest first.

        `having` leaves out writes whose metadata lacks that key.

        A bar that a later version kept unchanged counts for the write that first stored it.
        """

    @abstractmethod
    def last_writes(self, having: str, since: datetime) -> dict[SeriesKey, datetime]:
        """Return when bars of each series were last written with a metadata key (UTC), without reading any bar.

        Args:
            having: The key. Writes whose metadata lacks it do not count.
            since: Writes before this moment (tz-aware) do not count.

        Returns:
            The time of the last such write of each series that has one. A series that was renamed since counts from its
            next write on.

        Example:
            >>> from datetime import datetime, timezone
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> bars = pd.DataFrame({"close": 10.0}, index=times)
            >>> _ = storage.store_ohlcv_data("ADBE", bars, "my_csv", "day", metadata={"by": "me"})
            >>> found = storage.last_writes("by", datetime(2024, 1, 2, tzinfo=timezone.utc))
            >>> [key.label() for key in found]
            ['ADBE stock, day bars from my_csv']
        """

    @abstractmethod
    def empty_answers(self, pin: SeriesPin) -> tuple[IngestInfo, ...]:
        """Return the writes to the pinned version that recorded only coverage, earliest first."""

    @abstractmethod
    def last_time_at_or_before(
        self, pin: SeriesPin, time: EpochSeconds, column: str | None = None
    ) -> EpochSeconds | None:
        """Return the start of the last pinned bar at or before `time` (with a value in `column`), if any."""

    @abstractmethod
    def outline(self, pin: SeriesPin) -> Outline:
        """Return the number of bars of each day, its first and last one, and how far apart bars are.

        This reads no bars, unless the series is short.
        """

    @abstractmethod
    def repeats(self, pin: SeriesPin) -> Repeats | None:
        """Return which pinned crypto bars repeat an earlier one or lack a price; None if that is not known.

        It is known of long series to which nothing was added since they were pinned.
        """

    # -- SQL -------------------------------------------------------------------------------------------------

    @abstractmethod
    def sql(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        max_rows: int | None = None,
        allow_files: bool = False,
    ) -> pa.Table:
        """Run one read-only SQL statement over the store.

        DuckDB runs it on a separate instance that has no access to other files, the network or its own settings.

        Args:
            query: The statement. The view `ohlcv_data` has all bars of current versions; its times are in UTC.
            parameters: Values for `?` (a sequence) or `$name` (a mapping) in the statement.
            max_rows: Return at most this many rows, and hold no others in memory.
            allow_files: Let the statement read other files too, such as a CSV or Parquet file to join.

        Returns:
            The result as an Arrow table.

        Raises:
            ValueError: The statement does more than read the store, or it is not exactly one statement.
            StoreNotFoundError: There is no store yet.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> _ = storage.store_ohlcv_data("AAPL", pd.DataFrame({"close": 10.0}, index=times), "my_csv", "day")
            >>> query = "SELECT asset_symbol, count(*) AS bars FROM ohlcv_data WHERE asset_symbol = ? GROUP BY ALL"
            >>> storage.sql(query, ["AAPL"]).to_pylist()
            [{'asset_symbol': 'AAPL', 'bars': 5}]
        """
