"""A script that trades live until it is stopped, in Lumibot's `Trader`, with a broker that needs no account.

The bars go through Lumibot's cache of live bars, as those of its live sources do. `run --live` runs it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
from lumibot.entities import Asset, Bars
from lumibot.strategies import Strategy
from lumibot.tools import shared_bar_cache
from lumibot.traders import Trader

from live.live_loop import MINUTE, NEW_YORK, USD, Market, MarketBroker, MarketData

SERIES = shared_bar_cache.BarSeries.make(
    "ccxt", "AAA/USD", "1minute", scope=None, adjusted=False, exchange="binance", sandbox=False
)
COIN = Asset("AAA", "crypto")


class CachedData(MarketData):
    """Reads its bars as Lumibot's source for exchanges does."""

    def get_historical_prices(self, asset: Any, length: int, *arguments: Any, **more: Any) -> Bars:
        now = pd.Timestamp(self.market.time())
        frame = shared_bar_cache.read_bars(SERIES, now.floor("min") - (length - 1) * MINUTE, now, self.fetch)
        frame = frame.tail(length).tz_convert(NEW_YORK)
        return Bars(frame.copy(), self.SOURCE, COIN, raw=frame)

    def fetch(self, start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame:
        """Answer as the exchange: with the unfinished bar."""
        bars = self.market.bars("AAA", self.market.minutes)
        return bars[(bars.index >= start) & (bars.index <= stop)]


class Switching(Strategy):
    """Buys and sells in turn, every second."""

    def initialize(self) -> None:
        self.sleeptime = "1S"
        self.set_market("24/7")
        self.turn = 0

    def on_trading_iteration(self) -> None:
        bars = self.get_historical_prices(COIN, 60, "minute", quote=USD)
        self.submit_order(self.create_order(COIN, 1, "sell" if self.turn % 2 else "buy", quote=USD))
        self.turn += 1
        print("iteration", self.turn, len(bars.df), flush=True)


if __name__ == "__main__":
    market = Market(datetime.now(timezone.utc).replace(second=0, microsecond=0) - timedelta(hours=3), 240)
    broker = MarketBroker(market)
    broker.data_source = CachedData(market)
    trader = Trader()
    trader.add_strategy(Switching(broker=broker, quote_asset=USD, risk_free_rate=0.0, benchmark_asset=None))
    trader.run_all()
