"""A monthly rotation into the strongest of thirty symbols on Yahoo's days, checked every day, over three years."""

from __future__ import annotations

from datetime import datetime

from lumibot.backtesting import YahooDataBacktesting
from lumibot.strategies import Strategy

from benchmarks.scripts.outcome import QUIET, keep_outcome

SYMBOLS = [f"SIM{number:03}" for number in range(1, 31)]


class Rotation(Strategy):
    def initialize(self) -> None:
        self.sleeptime = "1D"
        self.days = 0

    def on_trading_iteration(self) -> None:
        bars = self.get_historical_prices_for_assets(SYMBOLS, 63, "day")
        gains = {asset: each.df["close"].iloc[-1] / each.df["close"].iloc[0] for asset, each in bars.items()}
        if self.days % 21 == 0:
            best = sorted(gains, key=lambda asset: gains[asset])[-5:]
            for position in self.get_positions():
                if position.asset in gains and position.asset not in best:
                    self.submit_order(self.create_order(position.asset, position.quantity, "sell"))
            for asset in best:
                if self.get_position(asset) is None:
                    quantity = int(self.portfolio_value / 6 // self.get_last_price(asset))
                    self.submit_order(self.create_order(asset, quantity, "buy"))
        self.days += 1


if __name__ == "__main__":
    _, done = Rotation.run_backtest(YahooDataBacktesting, datetime(2020, 1, 2), datetime(2022, 12, 29), **QUIET)
    keep_outcome(done)
