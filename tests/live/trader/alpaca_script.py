"""A live script: it trades stocks at Alpaca with Lumibot's own broker and data source, and logs what it sees."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from alpaca.trading.client import TradingClient
from lumibot.brokers import Alpaca
from lumibot.entities import Asset
from lumibot.strategies import Strategy
from lumibot.traders import Trader

SERIES = {"SPY": (("minute", 60), ("hour", 24), ("day", 10)), "QQQ": (("minute", 60),), "HPQ": (("minute", 60),)}
KEY, SECRET = os.environ["KEY_OF_SCRIPT"], os.environ["SECRET_OF_SCRIPT"]
# Not earlier: with these in the environment, Lumibot connects a broker when it is imported.
os.environ |= {"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET}


class Crossover(Strategy):
    """Holds a stock while its last closed bar is above the mean of the last hour."""

    def initialize(self) -> None:
        self.sleeptime = "1M"
        self.log = Path(os.environ["STRATEGY_LOG"]).open("a", buffering=1)  # noqa: SIM115
        self.note("start")

    def on_trading_iteration(self) -> None:
        self.note("iteration")
        for symbol, wanted in SERIES.items():
            for timestep, length in wanted:
                bars = self.get_historical_prices(Asset(symbol), length, timestep)
                self.note(symbol, timestep, length, bars)
                if timestep == "minute" and bars is not None:
                    self.trade(symbol, bars.df["close"].iloc[:-1])

    def trade(self, symbol: str, closes: Any) -> None:
        position = self.get_position(Asset(symbol))
        is_above = closes.iloc[-1] > closes.mean()
        if is_above and position is None:
            self.submit_order(self.create_order(Asset(symbol), 10, "buy"))
        elif not is_above and position is not None:
            self.submit_order(self.create_order(Asset(symbol), position.quantity, "sell"))

    def note(self, what: str, timestep: str = "", length: int = 0, bars: Any = None) -> None:
        """Write a line, with what is in a frame."""
        frame = None
        if bars is not None:
            frame = [[int(row[0].timestamp()), *row[1:6]] for row in bars.df.itertuples()]
        print(json.dumps([self.get_datetime().isoformat(), what, timestep, length, frame]), file=self.log)


if __name__ == "__main__":
    config = {"API_KEY": KEY, "API_SECRET": SECRET, "PAPER": True}
    # With a client that is passed, the broker polls its orders instead of opening a stream.
    client = TradingClient(KEY, SECRET, paper=True)
    broker = Alpaca(config, trading_client=client, polling_interval=20.0, connect_stream=True, start_orders_thread=True)
    trader = Trader()
    trader.add_strategy(Crossover(broker=broker, benchmark_asset=None, risk_free_rate=0.0))
    trader.run_all()
