"""A backtest of two days that does nothing: what a trial costs besides its backtest."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from lumibot.backtesting import YahooDataBacktesting
from lumibot.strategies import Strategy

from benchmarks.scripts.outcome import QUIET


class Nothing(Strategy):
    parameters: ClassVar[dict[str, Any]] = {"number": 0}

    def initialize(self) -> None:
        self.sleeptime = "1D"

    def on_trading_iteration(self) -> None:
        self.get_last_price("SIM001")


if __name__ == "__main__":
    Nothing.run_backtest(YahooDataBacktesting, datetime(2022, 12, 27), datetime(2022, 12, 29), **QUIET)
