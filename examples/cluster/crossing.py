"""A strategy for a sweep on several machines. It reads daily bars from the store that `LUMIBOT_DUCKDB_PATH` names."""

from datetime import datetime
from typing import ClassVar

from lumibot.strategies.strategy import Strategy

from lumibot_duckdb.backtesting import PandasDataBacktesting

SYMBOLS = ["AAA", "BBB", "CCC"]


class Crossing(Strategy):
    """Holds what is above its average: the short one above the long one."""

    parameters: ClassVar = {"fast": 20, "slow": 100}

    def initialize(self):
        """Trade once a day."""
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        """Buy what has crossed its average upwards, and sell the rest."""
        for symbol in SYMBOLS:
            bars = self.get_historical_prices(symbol, self.parameters["slow"], "day")
            if bars is None or len(bars.df) < self.parameters["slow"]:
                continue
            close = bars.df["close"]
            rises = close.tail(self.parameters["fast"]).mean() > close.mean()
            position = self.get_position(symbol)
            if rises and position is None:
                quantity = int(self.portfolio_value / len(SYMBOLS) / close.iloc[-1] * 0.95)
                self.submit_order(self.create_order(symbol, quantity, "buy"))
            elif not rises and position is not None:
                self.submit_order(self.create_order(symbol, position.quantity, "sell"))


if __name__ == "__main__":
    Crossing.run_backtest(
        PandasDataBacktesting.using(source="generated", timestep="day", assets=SYMBOLS),
        datetime(2020, 1, 2),
        datetime(2023, 12, 29),
        benchmark_asset=None,
        risk_free_rate=0,
    )
