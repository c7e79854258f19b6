"""Backtest on Yahoo's daily bars.

Run `python examples/backtest_yahoo.py`; no key is needed. The first run downloads the bars. The second finds them in
the store.
"""

from datetime import datetime

from lumibot.strategies.strategy import Strategy

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import YahooDataBacktesting

SYMBOLS = ("SPY", "IWM", "EFA", "TLT", "GLD")


class Strongest(Strategy):
    """Holds the one of five funds that has risen most over the last hundred days."""

    def initialize(self):
        """Trade every fifth day."""
        self.sleeptime = "5D"

    def on_trading_iteration(self):
        """Switch to the strongest fund."""
        rises = {}
        for symbol in SYMBOLS:
            bars = self.get_historical_prices(symbol, 100, "day")
            if bars is not None and len(bars.df) == 100:
                rises[symbol] = bars.df["close"].iloc[-1] / bars.df["close"].iloc[0]
        if not rises:
            return
        strongest = max(rises, key=rises.get)
        if self.get_position(strongest) is None:
            self.sell_all()
            price = self.get_last_price(strongest)
            self.submit_order(self.create_order(strongest, int(0.95 * self.portfolio_value // price), "buy"))


if __name__ == "__main__":
    results, strategy = Strongest.run_backtest(
        YahooDataBacktesting,
        datetime(2022, 1, 3),
        datetime(2024, 12, 31),
        benchmark_asset="SPY",
        show_plot=False,
        show_tearsheet=False,
        save_tearsheet=False,
        quiet_logs=True,
    )
    bars = "SELECT asset_symbol, timeframe, count(*) AS bars, min(timestamp) AS since FROM ohlcv_data GROUP BY ALL"
    print(DuckDBDataStorage().sql(bars).to_pandas())
    print(f"ended with {strategy.portfolio_value:,.2f}; a year brought {results['cagr']:.1%}")
