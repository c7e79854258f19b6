"""A crossover of two moving averages on the days of four symbols from memory, traded for a year.

`FAST` and `SLOW` are parameters. Lumibot writes its usual statistics, plots and tear sheet, unless `REPORTS` is "none".
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
REPORTS: dict[str, Any] = {"show_plot": False, "show_tearsheet": False, "show_indicators": False}
NO_REPORTS: dict[str, Any] = {"analyze_backtest": False, "save_tearsheet": False, "save_stats_file": False}


class Crossover(Strategy):
    parameters: ClassVar[dict[str, Any]] = {"fast": 10, "slow": 40}

    def initialize(self) -> None:
        self.sleeptime = "1D"

    def on_trading_iteration(self) -> None:
        for symbol in SYMBOLS:
            close = self.get_historical_prices(symbol, self.parameters["slow"], "day").df["close"]
            position = self.get_position(symbol)
            if close.tail(self.parameters["fast"]).mean() > close.mean():
                if position is None:
                    quantity = int(0.2 * self.portfolio_value / self.get_last_price(symbol))
                    self.submit_order(self.create_order(symbol, quantity, "buy"))
            elif position is not None:
                self.submit_order(self.create_order(symbol, position.quantity, "sell"))


def data() -> dict[Asset, Data]:
    days = pd.date_range("2013-01-02", "2023-12-29", freq="B", tz="America/New_York")
    found = {}
    for number, symbol in enumerate(SYMBOLS):
        steps = np.random.default_rng(number).normal(0.0003, 0.012, len(days))
        close = 100 * np.exp(np.cumsum(steps))
        bars = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6}
        found[Asset(symbol)] = Data(Asset(symbol), pd.DataFrame(bars, index=days), timestep="day")
    return found


if __name__ == "__main__":
    given = {name.lower(): int(os.environ[name]) for name in ("FAST", "SLOW") if name in os.environ}
    _, done = Crossover.run_backtest(
        PandasDataBacktesting,
        datetime(2022, 1, 3),
        datetime(2022, 12, 30),
        pandas_data=data(),
        benchmark_asset=None,
        risk_free_rate=0.0,
        parameters=given,
        show_progress_bar=False,
        quiet_logs=True,
        **{**REPORTS, **(NO_REPORTS if os.environ.get("REPORTS") == "none" else {})},
    )
    print(f"{done.portfolio_value!r}")
