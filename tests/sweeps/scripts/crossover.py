"""A user's script: two backtests on bars that it makes, of which the second is swept. It knows nothing of sweeps.

`VALUES` has parameters as JSON. `KEEP` is a file for the record of the second backtest. With `stored` as its argument,
the bars come from the store.
"""

import json
import os
import random
import signal
import sys
import time
from datetime import datetime
from typing import ClassVar

import numpy as np
import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data, TradingFee
from lumibot.strategies import Strategy

API_KEY = "s3cret-k3y-0f-the-script"
os.environ["SOME_API_KEY"] = API_KEY
SYMBOLS = ("AAA", "BBB", "CCC")
QUIET = {
    "budget": 100_000,
    "benchmark_asset": None,
    "risk_free_rate": 0.01,
    "analyze_backtest": False,
    "show_plot": False,
    "show_tearsheet": False,
    "save_tearsheet": False,
    "show_indicators": False,
    "show_progress_bar": False,
    "quiet_logs": True,
}


class Buying(Strategy):
    def initialize(self):
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        self.submit_order(self.create_order("AAA", 1, "buy"))


class Crossover(Strategy):
    """Chooses by moving averages, by chance, and by the order of a set."""

    parameters: ClassVar = {"fast": 5, "slow": 20, "share": 0.9, "does": None, "on_day": 3, "kind": "sma"}

    def initialize(self, weight=1.0):
        self.sleeptime = "1D"
        self.days = 0
        self.weight = weight

    def on_trading_iteration(self):
        self.days += 1
        if self.days == self.parameters["on_day"]:
            self.misbehave(self.parameters["does"])
        rising = set()
        for symbol in SYMBOLS:
            close = self.get_historical_prices(symbol, self.parameters["slow"], "day").df["close"]
            if close.tail(self.parameters["fast"]).mean() > close.mean() and random.random() < 0.8:
                rising.add(symbol)
        for position in self.get_positions():
            if position.asset.symbol not in rising and position.asset.symbol != "USD":
                self.submit_order(self.create_order(position.asset, position.quantity, "sell"))
        for symbol in rising:
            if self.get_position(symbol) is None and np.random.random() < 0.9:
                quantity = int(
                    self.weight * self.parameters["share"] * self.portfolio_value / 3 / self.get_last_price(symbol)
                )
                self.submit_order(self.create_order(symbol, quantity, "buy"))

    def on_strategy_end(self):
        if self.parameters["does"] == "fail_at_end":
            raise ValueError("the end of it")

    def misbehave(self, how):
        if how == "raise":
            print(f"about to fail with {API_KEY}")
            raise ValueError(f"no connection with {API_KEY}")
        if how == "exit":
            sys.exit("that is all")
        if how == "os_exit":
            os._exit(7)
        if how == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if how == "hang":
            time.sleep(600)
        if how == "eat":
            self.eaten = np.ones(40_000_000)
            time.sleep(600)


def bars(symbol):
    numbers = np.random.default_rng(ord(symbol[0]))
    days = pd.date_range("2020-01-02", "2021-06-30", freq="B", tz="America/New_York")
    close = 100 * np.exp(np.cumsum(numbers.normal(0.0003, 0.015, len(days))))
    columns = {"open": close * 1.001, "high": close * 1.02, "low": close * 0.98, "close": close, "volume": 1e6}
    return pd.DataFrame(columns, index=days)


def data():
    assets = [Asset(symbol) for symbol in SYMBOLS]
    return {asset: Data(asset, bars(asset.symbol), timestep="day") for asset in assets}


if __name__ == "__main__":
    print("the script has begun")
    values = json.loads(os.environ.get("VALUES", "{}"))
    source, frames = PandasDataBacktesting, data()
    if "stored" in sys.argv:
        from lumibot_duckdb.backtesting import PandasDataBacktesting as OnStore

        source, frames = OnStore.using(timestep="day", assets=list(SYMBOLS), source="csv"), None
    else:
        Buying.run_backtest(source, datetime(2020, 2, 3), datetime(2020, 2, 14), pandas_data=data(), **QUIET)
    random.seed(1)
    np.random.seed(2)
    fee = [TradingFee(flat_fee=1)]
    _, done = Crossover.run_backtest(
        source,
        datetime(2020, 3, 2),
        datetime(2020, 9, 30),
        pandas_data=frames,
        parameters={"given": 1.5, **values},
        buy_trading_fees=fee,
        sell_trading_fees=fee,
        **QUIET,
    )
    if "KEEP" in os.environ:
        from sweeps.plain_record import keep_record

        keep_record(done, os.environ["KEEP"])
