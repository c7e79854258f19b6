"""Bracket orders on minutes of three symbols that come from the user's own CSV files, over two months."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data, Order
from lumibot.strategies import Strategy

from benchmarks.scripts.outcome import QUIET, keep_outcome

SYMBOLS = ("SIM001", "SIM002", "SIM003")


class Brackets(Strategy):
    def initialize(self) -> None:
        self.sleeptime = "5M"

    def on_trading_iteration(self) -> None:
        for symbol in SYMBOLS:
            if self.get_position(symbol) is not None or any(
                order.asset.symbol == symbol for order in self.get_orders()
            ):
                continue
            close = self.get_historical_prices(symbol, 60, "minute").df["close"]
            price = close.iloc[-1]
            if price > close.max() * 0.999:
                order = self.create_order(
                    symbol,
                    100,
                    Order.OrderSide.BUY,
                    limit_price=round(price, 2),
                    order_class=Order.OrderClass.BRACKET,
                    secondary_limit_price=round(price * 1.01, 2),
                    secondary_stop_price=round(price * 0.995, 2),
                )
                self.submit_order(order)


def read(symbol: str) -> Data:
    frame = pd.read_csv(Path(os.environ["CSV_FOLDER"]) / f"{symbol}.csv", index_col=0)
    frame.index = pd.to_datetime(frame.index, utc=True).tz_convert("America/New_York")
    return Data(Asset(symbol), frame, timestep="minute")


if __name__ == "__main__":
    _, done = Brackets.run_backtest(
        PandasDataBacktesting,
        datetime(2023, 11, 1),
        datetime(2023, 12, 29),
        pandas_data=[read(symbol) for symbol in SYMBOLS],
        **QUIET,
    )
    keep_outcome(done)
