"""Breakouts of five symbols on Alpaca's minutes, checked every five minutes, over two months."""

from __future__ import annotations

from datetime import datetime

from lumibot.backtesting import AlpacaBacktesting
from lumibot.strategies import Strategy

from benchmarks.scripts.outcome import QUIET, keep_outcome

SYMBOLS = ("SIM001", "SIM002", "SIM003", "SIM004", "SIM005")


class Breakouts(Strategy):
    def initialize(self) -> None:
        self.sleeptime = "5M"

    def on_trading_iteration(self) -> None:
        for symbol in SYMBOLS:
            bars = self.get_historical_prices(symbol, 120, "minute")
            if bars is None:  # on the first morning
                continue
            close = bars.df["close"]
            price, position = close.iloc[-1], self.get_position(symbol)
            if position is None and price >= close.max():
                quantity = int(self.portfolio_value / len(SYMBOLS) // self.get_last_price(symbol))
                self.submit_order(self.create_order(symbol, quantity, "buy"))
            elif position is not None and price <= close.min():
                self.submit_order(self.create_order(symbol, position.quantity, "sell"))


if __name__ == "__main__":
    _, done = Breakouts.run_backtest(
        AlpacaBacktesting,
        datetime(2023, 11, 1),
        datetime(2023, 12, 29),
        config={"API_KEY": "no-key", "API_SECRET": "is-needed", "PAPER": True},
        timestep="minute",
        auto_adjust=True,
        full_window=True,
        **QUIET,
    )
    keep_outcome(done)
