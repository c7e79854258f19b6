"""Every ten minutes of a week, hold those of 20 symbols that are above their average. The bars are in our store."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, ClassVar

from lumibot.strategies import Strategy

from benchmarks.scripts.outcome import QUIET
from benchmarks.sides import on_store
from lumibot_duckdb.demo.market import symbol_names

_SYMBOLS = symbol_names(20)


class AboveAverage(Strategy):
    parameters: ClassVar[dict[str, Any]] = {"minutes": 120}

    def initialize(self) -> None:
        self.sleeptime = "10M"

    def on_trading_iteration(self) -> None:
        for symbol in _SYMBOLS:
            close = self.get_historical_prices(symbol, self.parameters["minutes"], "minute").df["close"]
            position = self.get_position(symbol)
            if close.iloc[-1] > close.mean():
                if position is None:
                    quantity = int(self.portfolio_value / len(_SYMBOLS) // close.iloc[-1])
                    self.submit_order(self.create_order(symbol, quantity, "buy"))
            elif position is not None:
                self.submit_order(self.create_order(symbol, position.quantity, "sell"))


if __name__ == "__main__":
    source = on_store(os.environ["LUMIBOT_DUCKDB_PATH"], _SYMBOLS)
    AboveAverage.run_backtest(source, datetime(2023, 6, 5), datetime(2023, 6, 10), **QUIET)
