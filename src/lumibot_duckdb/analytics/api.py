"""How stored bars are analysed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal

from lumibot_duckdb.storage.api import AsOf, AssetLike


class Analytics(ABC):
    """Analyses bars."""

    @abstractmethod
    def indicators(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        indicators: str | Iterable[str],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
        zone: str = "America/New_York",
        format: Literal["pandas", "polars", "arrow", "reader"] = "pandas",
    ) -> Any:
        """Return indicators of one asset or of many.

        No value depends on a later bar. Bars before `start` are read as far as indicators need them, so that values at
        `start` are those of the full history (to 1e-9 where an indicator depends on all earlier bars). Series are read
        one after another.

        Args:
            symbols: One asset, or a list of assets. A tuple is a (base, quote) pair.
            indicators: Indicators with their parameters: "rsi", "rsi(14)", "bollinger(20, k=2)".
                `lumibot-duckdb indicators --list` shows all of them.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to return (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not returned (default: up to the last bar).
            source: The source; not needed if only one source has such bars.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).
            zone: The time zone whose days count for pivot points, the VWAP of a day, and larger bars.
            format: "pandas", "polars", "arrow" (a table), or "reader": a `pyarrow.RecordBatchReader` that computes one
                asset after another while it is read, for results that do not fit into memory.

        Returns:
            A row for each bar with a close, in time order: the close, and a column for each output, such as `rsi_14`,
            `bollinger_20_2_upper` or `macd_12_26_9_signal`. Missing values (too few bars, a division by zero) are NaN
            in pandas, and null elsewhere.

            For one asset, times are as in `to_pandas`, `to_polars` and `to_arrow`: the index in New York time, or the
            column `datetime` in UTC. For a list, the first columns are `asset_symbol`, as in the view `ohlcv_data`, and
            `timestamp`; the rows of an asset are together, in the order of the list.

        Raises:
            IndicatorError: An indicator is unknown, or has a wrong parameter; a series has no closes; or no asset has
                bars in the range.
            AnalysisError: `start` is not before `end`.
            MissingLibraryError: An indicator needs TA-Lib, which is not installed: only `kama`, `psar` and
                `supertrend`. All others are computed in SQL then, with the same values.
            SeriesNotFoundError: There are no such bars, and none that they can be made of; or there were none yet at
                `as_of`.
            SnapshotNotFoundError: There is no snapshot `as_of`.
            AmbiguousSeriesError: Several series match. The message names them.
            VersionGoneError: A compaction has removed the version of `as_of`.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=6, tz="America/New_York")
            >>> for symbol, first in (("AAPL", 10.0), ("MSFT", 20.0)):
            ...     bars = pd.DataFrame({"close": [first + step for step in range(6)]}, index=times)
            ...     _ = storage.store_ohlcv_data(symbol, bars, "my_csv", "day")
            >>> storage.indicators("AAPL", ["sma(3)", "ema(4)"], start="2024-01-06")
                                       close  sma_3  ema_4
            datetime
            2024-01-06 00:00:00-05:00   14.0   13.0   12.5
            2024-01-07 00:00:00-05:00   15.0   14.0   13.5
            >>> storage.indicators(["AAPL", "MSFT"], "sma(3)", start="2024-01-07")[["asset_symbol", "sma_3"]]
              asset_symbol  sma_3
            0         AAPL   14.0
            1         MSFT   24.0
        """
