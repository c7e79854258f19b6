"""How stored bars are drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.analytics.api import Analytics
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader, ReferenceData

if TYPE_CHECKING:
    from lumibot_duckdb.charts.colors import Theme
    from lumibot_duckdb.charts.trades import Trades


class ChartStorage(BarReader, ReferenceData, Analytics):
    """What charts need of a storage."""


class Charts(ABC):
    """Draws bars."""

    @abstractmethod
    def chart(
        self,
        symbol: AssetLike,
        timeframe: str = "day",
        indicators: str | Iterable[str] = (),
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        *,
        source: str | None = None,
        adjustment: str | None = None,
        as_of: AsOf | None = None,
        zone: str | None = None,
        trades: Trades | None = None,
        theme: Theme = "light",
    ) -> Any:
        """Return a chart of bars: candles, volume, indicators, splits, dividends, and the trades of a backtest.

        The time axis has one place for each candle, so closed markets leave no gap. At most about 2,000 candles are
        drawn: of more bars, larger candles are made in the database, and the title states their length. Indicators are
        computed from the bars themselves, and a larger candle has the value at its end.

        Args:
            symbol: The asset.
            timeframe: The length of the bars. Those that are not stored are made of smaller ones.
            indicators: As for `indicators`. Averages and bands are drawn on the prices, others below them.
            start: The first bar start to draw (default: from the first bar). Naive times are New York's.
            end: Bars from this start on are not drawn (default: up to the last bar).
            source: The source; not needed if only one source has such bars.
            adjustment: The adjustment; not needed if there is only one.
            as_of: Draw the series as it was at that moment (tz-aware), or in the snapshot of that name (default: now).
                Splits and dividends are those known now.
            zone: The time zone of the times that are shown, and of days. Default: New York; UTC for daily bars that
                start at its midnight.
            trades: The trades of a backtest: Lumibot's file `*_trades.csv`, or its frame. Fills of the asset are drawn
                at their prices, on the candles in which they happened. Naive times are New York's.
            theme: "light" or "dark".

        Returns:
            A `plotly.graph_objects.Figure`.

        Raises:
            ChartError: There are no bars in the range, or the trades cannot be read or have no fill of the asset.
            IndicatorError: An indicator is unknown, or has a wrong parameter; or the series has no closes.
            MissingLibraryError: An indicator needs TA-Lib, which is not installed.
            SeriesNotFoundError: There are no such bars, and none that they can be made of.
            SnapshotNotFoundError: There is no snapshot `as_of`.
            AmbiguousSeriesError: Several series match. The message names them.

        Example:
            >>> import pandas as pd
            >>> from lumibot_duckdb import DuckDBDataStorage
            >>> storage = DuckDBDataStorage()
            >>> times = pd.date_range("2024-01-02", periods=30, freq="B", tz="America/New_York")
            >>> bars = pd.DataFrame({"open": 9.5, "high": 11.0, "low": 9.0, "close": 10.0, "volume": 100}, index=times)
            >>> _ = storage.store_ohlcv_data("AAPL", bars, "my_csv", "day")
            >>> figure = storage.chart("AAPL", "day", ["sma(5)", "rsi(14)"])
            >>> [trace.type for trace in figure.data]
            ['candlestick', 'bar', 'scatter', 'scatter']
            >>> figure.data[0].x[:2]
            ('2024-01-02', '2024-01-03')
        """
