"""Backtest on Alpaca's bars.

Set `ALPACA_API_KEY` and `ALPACA_API_SECRET`, then run `python examples/backtest_alpaca.py`. The first run downloads
the bars. The second finds them in the store.
"""

import os
from datetime import datetime

from lumibot.strategies.strategy import Strategy

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import AlpacaBacktesting


class AboveAverage(Strategy):
    """Holds SPY while its price is above the average close of the last twenty 5-minute bars."""

    def initialize(self):
        """Trade every five minutes."""
        self.sleeptime = "5M"

    def on_trading_iteration(self):
        """Compare the price with the average close."""
        bars = self.get_historical_prices("SPY", 20, "5min")
        price = self.get_last_price("SPY")
        if bars is None or price is None:
            return
        above = price > bars.df["close"].mean()
        position = self.get_position("SPY")
        if above and position is None:
            self.submit_order(self.create_order("SPY", int(0.95 * self.cash // float(price)), "buy"))
        elif not above and position is not None:
            self.submit_order(self.create_order("SPY", position.quantity, "sell"))


if __name__ == "__main__":
    results, strategy = AboveAverage.run_backtest(
        AlpacaBacktesting,
        datetime(2024, 3, 4),
        datetime(2024, 3, 28),
        timestep="minute",
        history_before_start=True,
        config={
            "API_KEY": os.environ["ALPACA_API_KEY"],
            "API_SECRET": os.environ["ALPACA_API_SECRET"],
            "PAPER": True,
        },
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
