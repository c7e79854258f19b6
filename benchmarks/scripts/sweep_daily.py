"""The crossover of `yahoo_one.py` with the lengths of its averages as parameters, over some years of one symbol."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Any, ClassVar

from lumibot.backtesting import YahooDataBacktesting
from lumibot.strategies import Strategy

from benchmarks.scripts.outcome import QUIET, keep_outcome


class Crossover(Strategy):
    parameters: ClassVar[dict[str, Any]] = {"fast": 20, "slow": 50}

    def initialize(self) -> None:
        self.sleeptime = "1D"

    def on_trading_iteration(self) -> None:
        close = self.get_historical_prices("SIM001", self.parameters["slow"], "day").df["close"]
        position = self.get_position("SIM001")
        if close.tail(self.parameters["fast"]).mean() > close.mean():
            if position is None:
                quantity = int(self.cash // self.get_last_price("SIM001"))
                self.submit_order(self.create_order("SIM001", quantity, "buy"))
        elif position is not None:
            self.sell_all()


if __name__ == "__main__":
    chosen = dict(zip(("fast", "slow"), map(int, sys.argv[1:]), strict=False))
    start, end = datetime(2023 - int(os.environ["YEARS"]), 1, 2), datetime(2022, 12, 29)
    _, done = Crossover.run_backtest(YahooDataBacktesting, start, end, parameters=chosen, **QUIET)
    keep_outcome(done)
