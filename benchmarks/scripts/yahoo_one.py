"""A crossover of two moving averages on Yahoo's days of one symbol, over ten years."""

from __future__ import annotations

from datetime import datetime

from lumibot.backtesting import YahooDataBacktesting
from lumibot.strategies import Strategy

from benchmarks.scripts.outcome import QUIET, keep_outcome


class Crossover(Strategy):
    def initialize(self) -> None:
        self.sleeptime = "1D"

    def on_trading_iteration(self) -> None:
        close = self.get_historical_prices("SIM001", 50, "day").df["close"]
        position = self.get_position("SIM001")
        if close.tail(20).mean() > close.mean():
            if position is None:
                quantity = int(self.cash // self.get_last_price("SIM001"))
                self.submit_order(self.create_order("SIM001", quantity, "buy"))
        elif position is not None:
            self.sell_all()


if __name__ == "__main__":
    _, done = Crossover.run_backtest(YahooDataBacktesting, datetime(2013, 1, 2), datetime(2022, 12, 29), **QUIET)
    keep_outcome(done)
