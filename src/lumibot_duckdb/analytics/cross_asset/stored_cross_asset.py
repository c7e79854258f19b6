"""`StoredCrossAsset`: the `CrossAssetAnalytics` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING

from lumibot_duckdb.analytics.cross_asset.api import CrossAssetAnalytics, Join, Method, OwnJoin, Weights
from lumibot_duckdb.storage.api import AsOf, AssetLabels, AssetLike, BarReader

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.analytics.cross_asset.pairs import Cointegration


class StoredCrossAsset(BarReader, AssetLabels, CrossAssetAnalytics):
    """Analyses several assets of a store together. The work is imported when it is called."""

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
        from lumibot_duckdb.analytics.cross_asset.closes import close_table
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        return close_table(self, symbols, Selection(timeframe, start, end, join, source, adjustment, as_of))

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
        from lumibot_duckdb.analytics.cross_asset.correlations import pair_table
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return pair_table(self, symbols, selection, method, window, "correlation")

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
        from lumibot_duckdb.analytics.cross_asset.correlations import pair_table
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return pair_table(self, symbols, selection, method, window, "covariance")

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
        from lumibot_duckdb.analytics.cross_asset.correlations import beta_table
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return beta_table(self, symbols, benchmark, selection, method, window)

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
        from lumibot_duckdb.analytics.cross_asset.correlations import lag_table
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return lag_table(self, first, second, lags, selection, method)

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
        from lumibot_duckdb.analytics.cross_asset.pairs import spread_table
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return spread_table(self, first, second, window, hedge_ratio, selection)

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
        from lumibot_duckdb.analytics.cross_asset.pairs import cointegration_of
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return cointegration_of(self, first, second, selection, log=log)

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
        from lumibot_duckdb.analytics.cross_asset.selection import Selection
        from lumibot_duckdb.analytics.cross_asset.universe import ranking_table

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return ranking_table(self, symbols, n, benchmark, selection)

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
        from lumibot_duckdb.analytics.cross_asset.selection import Selection
        from lumibot_duckdb.analytics.cross_asset.universe import breadth_by_label_table, breadth_table

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        if label is None:
            return breadth_table(self, symbols, n, selection)
        return breadth_by_label_table(self, self, symbols, n, label, selection)

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
        from lumibot_duckdb.analytics.cross_asset.label_returns import label_returns_table
        from lumibot_duckdb.analytics.cross_asset.selection import Selection

        selection = Selection(timeframe, start, end, join, source, adjustment, as_of)
        return label_returns_table(self, self, name, symbols, weights, selection)
