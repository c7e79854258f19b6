"""A script that trades live until it is stopped, on a market that is the same in each life of the process.

`run --live` runs it. The backfill reaches a loopback exchange with the same bars.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone

from lumibot.traders import Trader

from live.live_loop import USD, Market, MarketBroker
from live.run_live_script import CachedData, Switching
from sources.ccxt.exchanges import exchange_redirected_to

MINUTES = 600
START, EXCHANGE = "KILLS_MARKET_START", "KILLS_EXCHANGE"


def market_from(start: int) -> Market:
    """Return the market that begins at a time (epoch seconds)."""
    return Market(datetime.fromtimestamp(start, timezone.utc), MINUTES)


if __name__ == "__main__":
    market = market_from(int(os.environ[START]))
    broker = MarketBroker(market)
    broker.data_source = CachedData(market)
    trader = Trader()
    trader.add_strategy(Switching(broker=broker, quote_asset=USD, risk_free_rate=0.0, benchmark_asset=None))
    with exchange_redirected_to(os.environ[EXCHANGE]):
        trader.run_all()
