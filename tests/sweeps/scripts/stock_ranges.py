"""A user's script on Polygon's minutes of one stock, of which its parameters decide how far it looks back."""

import json
import os
from datetime import datetime
from typing import ClassVar

from lumibot.backtesting import PolygonDataBacktesting
from lumibot.strategies import Strategy

from lumibot_duckdb.comparison.headless import UNATTENDED


class Ranges(Strategy):
    parameters: ClassVar = {"symbol": "SIM001", "bars": 60}

    def initialize(self):
        self.sleeptime = "15M"

    def on_trading_iteration(self):
        symbol = self.parameters["symbol"]
        close = self.get_historical_prices(symbol, self.parameters["bars"], "minute").df["close"]
        if self.get_position(symbol) is None:  # all bars decide about the quantity
            self.submit_order(self.create_order(symbol, 1 + int(close.sum() * 100) % 50, "buy"))
        else:
            self.sell_all()


if __name__ == "__main__":
    values = json.loads(os.environ.get("VALUES", "{}"))
    _, done = Ranges.run_backtest(
        PolygonDataBacktesting, datetime(2023, 1, 18), datetime(2023, 1, 20), parameters=values, **UNATTENDED
    )
    if "KEEP" in os.environ:
        from sweeps.plain_record import keep_record

        keep_record(done, os.environ["KEEP"])
