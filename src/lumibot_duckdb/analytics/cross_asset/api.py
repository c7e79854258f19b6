"""How several assets are analysed together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from lumibot_duckdb.storage.api import AsOf, AssetLike

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.analytics.cross_asset.pairs import Cointegration

Join: TypeAlias = Literal["inner", "asof", "outer"]
Method: TypeAlias = Literal["returns", "log_returns", "differences", "prices"]
OwnJoin: TypeAlias = Literal["inner", "outer"]
Weights: TypeAlias = Literal["equal", "dollar_volume"]


class CrossAssetAnalytics(ABC):
    """Analyses several assets together.

    Closes are joined into a table with a row for each time. `join` says which rows there are:

    - "inner": the times at which all assets have a close;
    - "asof": the times of the first asset (or of the benchmark); the others have their last close at or before each;
    - "outer": all times; an asset has no value where it has no bar.

    Bars without a finite close are left out before. Bars of days, weeks and months are joined by the day that they
    begin on: in UTC if they begin at midnight there, as those of crypto exchanges do, else in New York.

    A return is the change from one row to the next. It is missing if one of the two closes is, and from a price of 0 or
    less. Before `start`, so many rows are read that values at `start` are those of the full history.
    """

    @abstractmethod
    def closes(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        join: Join = "inner",
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return the closes of several assets in one frame: a row for each time, and a column for each asset.

        Args:
            symbols: The assets. Each is a column once, named as in the view `ohlcv_data`.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            join: Which times the rows have; see the class.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            The closes, indexed by time. A missing close is NaN.

        Raises:
            AnalysisError: No row is in the range, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> storage.closes(["SPY", "QQQ"], end="2024-01-04")
                                        SPY   QQQ
            datetime
            2024-01-02 00:00:00-05:00  10.0  20.0
            2024-01-03 00:00:00-05:00  11.0  23.0
        """

    @abstractmethod
    def correlation(
        self,
        symbols: Iterable[AssetLike],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        method: Method = "returns",
        join: Join = "inner",
        window: int | None = None,
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return the correlations of all pairs of some assets.

        Those of a sample are meant: sums are divided by the number of rows less one. A pair is compared in the rows in
        which both have a value.

        Args:
            symbols: Two or more assets. Each counts once.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            method: What is compared: "returns", "log_returns" or "differences" from one row to the next, or "prices".
            join: Which times the rows have; see the class.
            window: Return values of the last so many rows, for each row, instead of one value.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            A frame with a row and a column for each asset. NaN for assets that do not change, or that have fewer than
            two rows in common. With `window`, one row for each pair and each time from which `window` rows exist.

        Raises:
            AnalysisError: No row is in the range, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> storage.correlation(["SPY", "QQQ"]).round(3)
            other_symbol    SPY    QQQ
            asset_symbol
            SPY           1.000  0.912
            QQQ           0.912  1.000
            >>> storage.correlation(["SPY", "QQQ"], window=3).round(3)
              asset_symbol other_symbol                 timestamp  correlation
            0          SPY          QQQ 2024-01-05 00:00:00-05:00        0.977
            1          SPY          QQQ 2024-01-06 00:00:00-05:00        0.948
        """

    @abstractmethod
    def covariance(
        self,
        symbols: Iterable[AssetLike],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        method: Method = "returns",
        join: Join = "inner",
        window: int | None = None,
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return the covariances of all pairs of some assets.

        Those of a sample are meant: sums are divided by the number of rows less one. A pair is compared in the rows in
        which both have a value.

        Args:
            symbols: Two or more assets. Each counts once.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            method: What is compared: "returns", "log_returns" or "differences" from one row to the next, or "prices".
            join: Which times the rows have; see the class.
            window: Return values of the last so many rows, for each row, instead of one value.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            A frame with a row and a column for each asset. NaN for assets that do not change, or that have fewer than
            two rows in common. With `window`, one row for each pair and each time from which `window` rows exist.

        Raises:
            AnalysisError: No row is in the range, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> storage.covariance(["SPY", "QQQ"], method="differences").round(3)
            other_symbol    SPY    QQQ
            asset_symbol
            SPY           1.557  2.700
            QQQ           2.700  5.667
        """

    @abstractmethod
    def beta(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        benchmark: AssetLike,
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        method: Method = "returns",
        join: Join = "inner",
        window: int | None = None,
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return beta and alpha of some assets against a benchmark.

        They are slope and intercept of the regression of the asset's returns on those of the benchmark. So alpha is a
        return per bar, without a risk-free rate.

        Args:
            symbols: One or more assets.
            benchmark: What they are compared with. With the join "asof", rows have its times.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            method: What is compared: "returns", "log_returns" or "differences" from one row to the next, or "prices".
            join: Which times the rows have; see the class.
            window: Return values of the last so many rows, for each row, instead of one value.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            A row for each asset: `beta`, `alpha`, `correlation`, and `bars`, the number of rows used. With `window`, a
            row for each asset and each time from which `window` rows exist.

        Raises:
            AnalysisError: No row is in the range, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> storage.beta("QQQ", "SPY").round(3)
                           beta  alpha  correlation  bars
            asset_symbol
            QQQ           0.833  0.018        0.912     4
        """

    @abstractmethod
    def lead_lag(
        self,
        first: AssetLike,
        second: AssetLike,
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        lags: int = 10,
        method: Method = "returns",
        join: Join = "inner",
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return the correlation of one asset with another one some bars later or earlier.

        At a lag of 2, returns of the first asset are compared with those of the second one two rows later: the first
        asset leads. With the join "outer", rows in which one has no value do not count.

        Args:
            first: An asset.
            second: Another asset.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            lags: The greatest lag, in both directions.
            method: What is compared: "returns", "log_returns" or "differences" from one row to the next, or "prices".
            join: Which times the rows have; see the class.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            `correlation` and `bars`, the number of rows used, for each lag.

        Raises:
            AnalysisError: No row is in the range, the assets are the same, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> storage.lead_lag("SPY", "QQQ", lags=1).round(3)
                 correlation  bars
            lag
            -1        -0.804     3
             0         0.912     4
             1        -0.864     3
        """

    @abstractmethod
    def spread(
        self,
        first: AssetLike,
        second: AssetLike,
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        window: int = 20,
        hedge_ratio: float = 1.0,
        join: Join = "inner",
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return spread and ratio of two closes, with their z-scores.

        A z-score is the distance from the mean of the last `window` values, in their (population) deviations. No value
        depends on a later bar, as long as `hedge_ratio` is not taken from later bars.

        Args:
            first: An asset.
            second: Another asset.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            window: The number of values that a z-score is among.
            hedge_ratio: How much of the second asset is subtracted: spread = first - hedge_ratio * second.
            join: Which times the rows have; see the class.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            `spread`, `ratio` (first / second), `spread_zscore` and `ratio_zscore`, indexed by time. A z-score is NaN
            until `window` values exist, and where they are the same.

        Raises:
            AnalysisError: No row is in the range, the assets are the same, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> storage.spread("QQQ", "SPY", start="2024-01-05", window=3, hedge_ratio=2).round(3)
                                       spread  ratio  spread_zscore  ratio_zscore
            datetime
            2024-01-05 00:00:00-05:00     2.0  2.167          0.707         0.310
            2024-01-06 00:00:00-05:00     0.8  2.063         -1.414        -1.375
        """

    @abstractmethod
    def cointegration(
        self,
        first: AssetLike,
        second: AssetLike,
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        log: bool = False,
        join: Join = "inner",
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> Cointegration:
        """Test whether two prices are cointegrated: whether some spread of them returns to a mean (Engle and Granger).

        The first price is regressed on the second one, with a constant, and statsmodels tests what remains for a unit
        root, with as many lags as Akaike's criterion chooses.

        Args:
            first: An asset.
            second: Another asset. If they are exchanged, the result differs somewhat.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            log: Test the logarithms of prices.
            join: Which times the rows have; see the class.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            Statistic, p-value, critical values, the hedge ratio for `spread`, the intercept, and the number of bars.

        Raises:
            AnalysisError: The assets have fewer than 20 bars in common, one is constant or a multiple of the other, or
                they are the same.
            MissingLibraryError: statsmodels is not installed.
        """

    @abstractmethod
    def relative_strength(
        self,
        symbols: Iterable[AssetLike],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        n: int = 20,
        benchmark: AssetLike | None = None,
        join: Join = "outer",
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Rank the assets of a universe by their change over the last n closes, at each time.

        Args:
            symbols: The assets of the universe.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            n: Over how many closes of its own an asset's change is.
            benchmark: Also return the change relative to that of this asset.
            join: Which times the rows have; see the class.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            A row for each time and each asset that has a change: `change`, `rank` (1 is the strongest; equal ones share
            the best rank), `of`, the number of ranked assets, and, with a benchmark, `relative`:
            (1 + change) / (1 + change of the benchmark) - 1, NaN if the benchmark fell to 0 or below.

        Raises:
            AnalysisError: No row is in the range, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> storage.relative_strength(["SPY", "QQQ"], n=2, start="2024-01-06").round(3)
                              timestamp asset_symbol  change  rank  of
            0 2024-01-06 00:00:00-05:00          SPY   0.260     1   2
            1 2024-01-06 00:00:00-05:00          QQQ   0.182     2   2
        """

    @abstractmethod
    def breadth(
        self,
        symbols: Iterable[AssetLike],
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        n: int = 50,
        label: str | None = None,
        join: Join = "outer",
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return the breadth of a market: how many assets are above their average, and how many have risen.

        Args:
            symbols: The assets of the universe.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            n: The number of an asset's own closes that its average is of.
            label: Return the breadth of the assets with each value of this label, such as "sector". Those without it
                are left out.
            join: Which times the rows have; see the class.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            Indexed by time: `members` (assets with a close and an average), `above` (those above it), `share_above`,
            and `advancers`, `decliners` and `unchanged`, against the asset's own close before. With `label`, a row for
            each value of it and each time at which one of its assets has a close: `value`, `timestamp`, and the same.

        Raises:
            AnalysisError: No row is in the range, or an argument is wrong.
            LabelNotFoundError: No asset has this label.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     _ = storage.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=days), "my_csv", "day")
            >>> found = storage.breadth(["SPY", "QQQ"], n=2, start="2024-01-05")
            >>> found[["members", "share_above", "advancers", "decliners"]]
                                       members  share_above  advancers  decliners
            datetime
            2024-01-05 00:00:00-05:00        2          1.0          2          0
            2024-01-06 00:00:00-05:00        2          0.5          1          0
        """

    @abstractmethod
    def by_label(
        self,
        name: str,
        timeframe: str = "day",
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        symbols: Iterable[AssetLike] | None = None,
        weights: Weights = "equal",
        join: OwnJoin = "outer",
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
    ) -> pd.DataFrame:
        """Return the returns of groups of assets: of each sector, or of the members of an index.

        A return is the change since the asset's own close before, which may be several rows earlier. An asset with
        several values of the label belongs to several groups. Labels have no history: groups have the members of today
        at all times. So where an index or a sector has changed, its past returns have survivorship bias.

        Args:
            name: The name of the label, such as "sector".
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            start: The first bar start to use (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not used (default: up to the last bar).
            symbols: Only these assets (default: all with the label and with bars). Those without it are left out.
            weights: How returns are weighted in the mean: "equal", or "dollar_volume", by close times volume of the
                asset's own bar before. An asset without volume then has no weight.
            join: Which times the rows have: "outer", all times, or "inner", those at which all assets have a close.
            source: The source; not needed if only one source has such bars of each asset.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Read the series as they were at that moment (tz-aware), or in the snapshot of that name (default:
                now).

        Returns:
            A row for each value of the label and each time at which one of its assets has a close: `value`,
            `timestamp`, `members` (assets with a return), `mean_return`, `median_return`, `level` (what 1 has become
            since before the range at the mean returns), `advancers`, `decliners`, `unchanged`, and `volume`, the sum of
            the volumes at that time. Returns are fractions; NaN if no asset has one. The level is NaN once
            more than all is lost.

        Raises:
            LabelNotFoundError: No asset has this label. The message suggests a similar one.
            SeriesNotFoundError: An asset has no bars of which those of the timeframe can be made.
            AnalysisError: No row is in the range, no asset is left, or an argument is wrong.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> days = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
            >>> for symbol, closes in (("SPY", [10, 11, 10, 12, 12.6]), ("QQQ", [20, 23, 22, 26, 26])):
            ...     bars = pd.DataFrame({"close": closes, "volume": 100}, index=days)
            ...     _ = storage.store_ohlcv_data(symbol, bars, "my_csv", "day")
            >>> _ = storage.label(["SPY", "QQQ"], "market", "stocks")
            >>> found = storage.by_label("market", start="2024-01-05").round(3)
            >>> found[["value", "timestamp", "members", "mean_return", "level", "advancers"]]
                value                 timestamp  members  mean_return  level  advancers
            0  stocks 2024-01-05 00:00:00-05:00        2        0.191  1.191          2
            1  stocks 2024-01-06 00:00:00-05:00        2        0.025  1.221          1
        """
