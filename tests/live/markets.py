"""Markets that the loopback servers of providers serve, and bars of them that were recorded live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import crypto_bars, us_stock_bars
from lumibot_duckdb.live.recorded import RECORDED_LIVE
from lumibot_duckdb.live.rest_bars import RestBars
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges
from lumibot_duckdb.storage.times import bar_starts
from sources.alpaca.loopback_client import clients_redirected_to
from sources.alpaca.server import KEY, SECRET, AlpacaServer
from sources.ccxt.binance_server import BinanceServer
from sources.ccxt.exchanges import exchange_redirected_to

SPY = SeriesKey(AssetKey("SPY"), "alpaca", "minute", "all")
QQQ = SeriesKey(AssetKey("QQQ"), "alpaca", "minute", "all")
BTC = SeriesKey(AssetKey("BTC", "crypto", "USDT", exchange="binance"), "ccxt", "minute")

MONDAY = date(2024, 3, 11)
"""The first of three days on which all of these are traded."""
DAYS = 3
QUICK = RetryPolicy(limit_pause=0.02, fault_pause=0.01, longest_pause=0.05, attempts=2)


def new_york(day: int, time: str) -> pd.Timestamp:
    """Return a moment on one of the days: 0 is Monday."""
    return pd.Timestamp(f"{MONDAY + timedelta(days=day)} {time}", tz="America/New_York")


def between(start: pd.Timestamp, end: pd.Timestamp) -> TimeRange:
    return TimeRange(int(start.timestamp()), int(end.timestamp()))


def session(day: int) -> TimeRange:
    """Return the regular session of New York on one of the days."""
    return between(new_york(day, "09:30"), new_york(day, "16:00"))


@cache
def minutes_of(symbol: str) -> pd.DataFrame:
    make = crypto_bars if symbol == "BTC" else us_stock_bars
    return make(symbol, MONDAY, MONDAY + timedelta(days=DAYS))


@dataclass
class Markets:
    """The servers of Alpaca and of Binance, and what asks them."""

    alpaca: AlpacaServer
    binance: BinanceServer
    rest: RestBars

    def bars(self, key: SeriesKey, within: TimeRange) -> pd.DataFrame:
        """Return what the provider's REST API returns."""
        frames = [response.bars for response in self.rest.responses(key, [within])]
        whole: pd.DataFrame = pd.concat(frames).sort_index()
        return whole[in_ranges(bar_starts(whole), [within])]

    def forget_requests(self) -> None:
        self.alpaca.requests.clear()
        self.binance.requests.clear()

    def start_over(self) -> None:
        """Be as at first, for the next test."""
        self.alpaca.faults.clear()
        self.alpaca.actions.clear()
        self.alpaca.entitled = True
        self.binance.faults.clear()
        self.forget_requests()


@contextmanager
def served_markets() -> Iterator[Markets]:
    """Serve the markets, at the addresses to which the providers' clients are redirected."""
    alpaca, binance = AlpacaServer(recent=True), BinanceServer()
    for key in (SPY, QQQ):
        alpaca.serve("stock", key.asset.symbol, minutes_of(key.asset.symbol))
    binance.list_market("BTC", "USDT", minutes_of("BTC"))
    with ExitStack() as entered:
        entered.enter_context(alpaca)
        entered.enter_context(binance)
        entered.enter_context(clients_redirected_to(alpaca.url))
        entered.enter_context(exchange_redirected_to(binance.url))
        rest = RestBars({"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET}, retry_policy=QUICK)
        yield Markets(alpaca, binance, rest)


def record(storage: DuckDBDataStorage, key: SeriesKey, bars: pd.DataFrame, covered: TimeRange) -> None:
    """Store bars as recorded live, with the range that they prove."""
    storage.store_ohlcv_data(
        key.asset,
        bars[in_ranges(bar_starts(bars), [covered])],
        key.source,
        key.timeframe,
        adjustment=key.adjustment,
        covered=covered,
        provisional=(),
        metadata={RECORDED_LIVE: True},
    )


@pytest.fixture(scope="module")
def servers() -> Iterator[Markets]:
    """The servers of all tests of a module: it takes them a while to write their bars as JSON."""
    with served_markets() as served:
        yield served


@pytest.fixture
def markets(servers: Markets) -> Markets:
    servers.start_over()
    return servers
