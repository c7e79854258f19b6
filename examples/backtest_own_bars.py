"""Store your own bars once, then backtest on them: `python examples/backtest_own_bars.py`."""

from datetime import datetime

import numpy as np
import pandas as pd
from lumibot.strategies.strategy import Strategy

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting


class BuyTheDip(Strategy):
    """Buys when the last 5-minute close is below the average of the last hour, and sells when it is above."""

    def initialize(self):
        """Trade every five minutes."""
        self.sleeptime = "5M"

    def on_trading_iteration(self):
        """Compare the last close with the average close."""
        bars = self.get_historical_prices("MINE", 12, "5min")
        if bars is None or len(bars.df) < 12:
            return
        dip = bars.df["close"].iloc[-1] < bars.df["close"].mean()
        position = self.get_position("MINE")
        if dip and position is None:
            self.submit_order(self.create_order("MINE", 100, "buy"))
        elif not dip and position is not None:
            self.submit_order(self.create_order("MINE", position.quantity, "sell"))


def bars() -> pd.DataFrame:
    """Return a month of generated minute bars. Yours come from a file or a provider."""
    days = pd.bdate_range("2024-03-01", "2024-03-28", tz="America/New_York")
    index = pd.DatetimeIndex([day + pd.Timedelta(minutes=570 + minute) for day in days for minute in range(390)])
    close = 50 + np.random.default_rng(1).normal(0, 0.02, len(index)).cumsum().round(2)
    return pd.DataFrame(
        {"open": close, "high": close + 0.02, "low": close - 0.02, "close": close, "volume": 1_000}, index=index
    )


if __name__ == "__main__":
    storage = DuckDBDataStorage("example.duckdb")
    print(storage.store_ohlcv_data("MINE", bars(), source="mine", timeframe="minute"))
    results, strategy = BuyTheDip.run_backtest(
        PandasDataBacktesting.using(storage, source="mine"),
        datetime(2024, 3, 4),
        datetime(2024, 3, 27),
        benchmark_asset=None,
        risk_free_rate=0,
        show_plot=False,
        show_tearsheet=False,
        save_tearsheet=False,
        quiet_logs=True,
    )
    print(storage.sql("SELECT asset_symbol, count(*) AS bars, max(timestamp) AS until FROM ohlcv_data GROUP BY ALL"))
    print(f"ended with {strategy.portfolio_value:,.2f}")
