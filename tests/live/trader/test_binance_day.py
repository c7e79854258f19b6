"""A day at Binance, with Lumibot's own broker, data source and live loop, and everything going wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest

from live.servers.binance_server import random_trades
from live.trader import checks
from live.trader.binance_account import BinanceAccount
from live.trader.clock_page import ClockPage
from live.trader.director import Director, held
from live.trader.outages import Outage
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="simulated time needs /proc")

SCRIPT = Path(__file__).with_name("binance_script.py")
RATES = {"BTC": 12.0, "ETH": 3.0, "SOL": 0.5}
MINUTE, HOUR, DAY = 60, 3_600, 86_400
START = int(datetime(2024, 3, 12, 5, 30, tzinfo=timezone.utc).timestamp())
LENGTHS = {"minute": ("1m", MINUTE), "day": ("1d", DAY)}
MINUTES = [SeriesKey(AssetKey(coin, "crypto", "USDT", exchange="binance"), "ccxt", "minute") for coin in RATES]
DAYS = SeriesKey(MINUTES[0].asset, "ccxt", "day")


@dataclass
class Trading:
    """An exchange and what trades there."""

    exchange: BinanceAccount
    director: Director

    def rest(self, key: SeriesKey) -> pd.DataFrame:
        """Return the bars that REST has now."""
        candles: pd.DataFrame = self.exchange.candles(f"{key.asset.symbol}USDT", LENGTHS[key.timeframe][0])
        return candles.iloc[:-1]  # without the open one


@contextmanager
def trading(folder: Path, *, is_recorded: bool = True) -> Iterator[Trading]:
    """Open an exchange, and prepare to trade there."""
    folder.mkdir(parents=True)
    clock = folder / "clock"
    page = ClockPage(clock)
    page.now = page.limit = START
    exchange = BinanceAccount(page=page)
    for place, (coin, rate) in enumerate(RATES.items()):
        exchange.list_trades(coin, "USDT", random_trades(START - 8 * DAY, START + 2 * DAY, rate, seed=place))
    with exchange:
        director = Director(folder, page, clock, "binance", exchange.url, SCRIPT, is_recorded)
        try:
            yield Trading(exchange, director)
        finally:
            director.kill()


def trade_a_day(at: Trading) -> list[str]:
    """Trade for a day, with all faults; return the names of the sessions of killed processes."""
    exchange, director, page = at.exchange, at.director, at.exchange.page

    def until(hours: float) -> None:
        director.run_until(START + hours * HOUR)

    def outage(hours: float, minutes: float, *more: object) -> Outage:
        begin = START + hours * HOUR - 10
        return Outage(begin, begin + minutes * MINUTE, *more)  # type: ignore[arg-type]

    exchange.outages += [
        outage(1, 3, 429),
        outage(1.5, 2, 500, "klines"),
        outage(2, 3, None, "klines"),
        outage(3, 20),
        outage(17, 20, 503),
    ]
    director.start()
    until(4.503)
    with held(director.store):
        until(4.62)
    for ahead, hours in ((40, 5.204), (0, 5.507), (-30, 6.003), (0, 6.255)):
        until(hours)
        page.ahead = ahead
    until(8.12)
    director.kill()
    page.now += 14 * MINUTE
    director.start()
    until(10.507)
    exchange.now = page.now
    exchange.correct("BTCUSDT", int(page.now) // MINUTE * MINUTE - 5 * MINUTE, volume=99.0)
    until(12.0005)
    director.kill()
    director.start()
    until(14.33)
    with held(director.results):
        until(14.4)
    until(24.75)
    director.stop()
    return ["Crossover-live", "Crossover-live-2"]


def assert_is_as_at_the_exchange(at: Trading, begin: float, end: float) -> int:
    """Compare the store with REST; return the number of bars."""
    at.exchange.now = at.exchange.page.now
    bars = 0
    with DuckDBDataStorage(at.director.store) as storage:
        assert storage.verify().sound
        for key in (*MINUTES, DAYS):
            interval, length = LENGTHS[key.timeframe]
            assert checks.differences(storage, key, at.rest(key)) == []
            market = f"{key.asset.symbol}USDT"
            answered = [each[2:] for each in at.exchange.answered if each[:2] == (market, interval)]
            assert checks.not_proven(storage.coverage(key), answered, length) == [], key.label()
            bars += len(storage.read_pandas(storage.pin(key)))
            if key.timeframe == "minute":
                assert checks.gaps(storage, key, begin, end) == [], key.label()
    return bars


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_day_with_faults(tmp_path: Path) -> None:
    with trading(tmp_path / "recorded") as at:
        killed = trade_a_day(at)
        assert at.exchange.unknown == []
        bars = assert_is_as_at_the_exchange(at, START, START + 24 * HOUR)
        sessions = [f"Crossover-live{suffix}" for suffix in ("", "-2", "-3")]
        frames = checks.assert_sessions_are_what_was_seen(at.director, sessions, killed)
        print(f"\n{bars} bars, {frames} frames, {len(checks.iterations(at.director.seen()))} iterations,", end=" ")
        print(f"{len(at.exchange.orders)} orders, {at.exchange.failed} requests failed")


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_the_strategy_does_what_it_does_without_recording(tmp_path: Path) -> None:
    seen, orders = [], []
    for is_recorded in (True, False):
        with trading(tmp_path / str(is_recorded), is_recorded=is_recorded) as at:
            begin = START + HOUR - 10
            at.exchange.outages += [
                Outage(begin, begin + 3 * MINUTE, 429),
                Outage(begin + 10 * MINUTE, begin + 13 * MINUTE, None, "klines"),
            ]
            at.director.start()
            at.director.run_until(START + 1.508 * HOUR)
            at.director.kill()
            at.director.start()
            at.director.run_until(START + 2.007 * HOUR)
            at.director.stop()
            seen.append(at.director.seen())
            orders.append(at.exchange.orders)
    assert checks.closed_bars_seen(seen[0]) == checks.closed_bars_seen(seen[1])
    assert len(orders[0]) == len(orders[1])
    for ours, theirs in zip(*orders, strict=True):
        for name in ("symbol", "side", "origQty"):
            assert ours[name] == theirs[name]
        assert ours["time"] // 60_000 == theirs["time"] // 60_000
    assert len(orders[0]) > 20
    assert len(checks.iterations(seen[0])) > 100
