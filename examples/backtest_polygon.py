"""Backtest on bars of Polygon, which is now called Massive.

Run `POLYGON_API_KEY=… python examples/backtest_polygon.py`. The first run downloads the bars. The second finds them in
the store.
"""

import os
from datetime import datetime

from lumibot.strategies.strategy import Strategy

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PolygonDataBacktesting


class AboveAverage(Strategy):
    """Holds SPY while its price is above the average close of the last twenty days."""

    def initialize(self):
        """Trade every 15 minutes."""
        self.sleeptime = "15M"

    def on_trading_iteration(self):
        """Compare the price with the average close."""
        days = self.get_historical_prices("SPY", 20, "day")
        price = self.get_last_price("SPY")
        if days is None or price is None:
            return
        above = price > days.df["close"].mean()
        position = self.get_position("SPY")
        if above and position is None:
            self.submit_order(self.create_order("SPY", int(self.cash // price), "buy"))
        elif not above and position is not None:
            self.submit_order(self.create_order("SPY", position.quantity, "sell"))


if __name__ == "__main__":
    results, strategy = AboveAverage.run_backtest(
        PolygonDataBacktesting,
        datetime(2024, 3, 4),
        datetime(2024, 3, 28),
        polygon_api_key=os.environ["POLYGON_API_KEY"],
        benchmark_asset=None,
        risk_free_rate=0,
        show_plot=False,
        show_tearsheet=False,
        save_tearsheet=False,
        quiet_logs=True,
    )
    bars = "SELECT asset_symbol, timeframe, count(*) AS bars, min(timestamp) AS since FROM ohlcv_data GROUP BY ALL"
    print(DuckDBDataStorage().sql(bars).to_pandas())
    print(f"ended with {strategy.portfolio_value:,.2f}")
