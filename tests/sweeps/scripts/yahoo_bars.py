"""A user's script on Yahoo's days, with Lumibot's usual benchmark and risk-free rate, and all its usual files."""

import json
import os
from datetime import datetime
from typing import ClassVar

from lumibot.backtesting import YahooDataBacktesting
from lumibot.strategies import Strategy


class Holding(Strategy):
    parameters: ClassVar = {"symbol": "AAA", "days": 10}

    def initialize(self):
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        close = self.get_historical_prices(self.parameters["symbol"], self.parameters["days"], "day").df["close"]
        if close.iloc[-1] > close.mean():
            if not self.get_position(self.parameters["symbol"]):
                self.submit_order(self.create_order(self.parameters["symbol"], 100, "buy"))
        else:
            self.sell_all()


if __name__ == "__main__":
    values = json.loads(os.environ.get("VALUES", "{}"))
    _, done = Holding.run_backtest(YahooDataBacktesting, datetime(2023, 3, 1), datetime(2023, 6, 1), parameters=values)
    if "KEEP" in os.environ:
        from sweeps.plain_record import keep_record

        keep_record(done, os.environ["KEEP"])
