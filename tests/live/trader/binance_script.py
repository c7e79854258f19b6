"""A live script: it trades coins at Binance with Lumibot's own broker and data source, and logs what it sees."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lumibot.brokers import Ccxt
from lumibot.entities import Asset
from lumibot.strategies import Strategy
from lumibot.traders import Trader

SERIES = {"BTC": (("minute", 60), ("day", 5)), "ETH": (("minute", 60),), "SOL": (("minute", 30),)}
DOLLAR = Asset("USDT", "crypto")


class Crossover(Strategy):
    """Holds a coin while its last closed bar is above the mean of the last hour."""

    def initialize(self) -> None:
        self.sleeptime = "1M"
        self.set_market("24/7")
        self.log = Path(os.environ["STRATEGY_LOG"]).open("a", buffering=1)  # noqa: SIM115
        self.note("start")

    def on_trading_iteration(self) -> None:
        self.note("iteration")
        for symbol, wanted in SERIES.items():
            for timestep, length in wanted:
                try:
                    bars = self.get_historical_prices(Asset(symbol, "crypto"), length, timestep, quote=DOLLAR)
                except Exception:  # the exchange does not answer
                    bars = None
                self.note(symbol, timestep, length, bars)
                if timestep == "minute" and bars is not None:
                    self.trade(Asset(symbol, "crypto"), bars.df["close"].iloc[:-1])

    def trade(self, coin: Asset, closes: Any) -> None:
        position = self.get_position(coin)
        is_above = closes.iloc[-1] > closes.mean()
        if is_above and position is None:
            self.submit_order(self.create_order(coin, 1, "buy", quote=DOLLAR))
        elif not is_above and position is not None:
            self.submit_order(self.create_order(coin, position.quantity, "sell", quote=DOLLAR))

    def note(self, what: str, timestep: str = "", length: int = 0, bars: Any = None) -> None:
        """Write a line, with what is in a frame."""
        frame = None
        if bars is not None:
            frame = [[int(row[0].timestamp()), *row[1:6]] for row in bars.df.itertuples()]
        print(json.dumps([self.get_datetime().isoformat(), what, timestep, length, frame]), file=self.log)


if __name__ == "__main__":
    # Without its stream, the broker reads everything by REST; it expects the attribute nevertheless.
    config = {"exchange_id": "binance", "sandbox": False, "apiKey": "loopback-key", "secret": "loopback-secret"}
    broker = Ccxt(config, connect_stream=False)
    broker.stream = None
    trader = Trader()
    trader.add_strategy(Crossover(broker=broker, quote_asset=DOLLAR, benchmark_asset=None, risk_free_rate=0.0))
    trader.run_all()
