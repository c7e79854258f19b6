"""Hours of a recorder of exchanges, with the real supervisor, client and store, on a market full of faults.

At the end, the series of the stream and those of backtests have exactly what REST returns for closed candles.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from live.servers.binance_server import KLINES, TIME, LiveBinanceServer, StreamFaults, random_trades
from live.servers.binance_session import PACE, START, MachineClock, between, exchange, pass_time, starts, until
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.live.streams.ccxt_market import open_market
from lumibot_duckdb.live.streams.ccxt_stream import open_stream
from lumibot_duckdb.live.streams.pace import Pace
from lumibot_duckdb.live.streams.recorded_market import RecordedMarket
from lumibot_duckdb.live.streams.supervisor import Supervisor
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars import coverage
from sources.ccxt.binance_server import too_many
from wire.loopback import Answer, Fault

pytestmark = pytest.mark.xdist_group("ccxt_streams")

HOUR = 3_600
KINDS = ("lost", "closed", "silent", "refuses", "duplicates", "stale", "swaps", "held", "rest", "clock", "fix")
COINS = {"BTC": 12.0, "ETH": 2.0, "IDLE": 0.1}
SUPERVISED = Pace(poll=0.05, first_pause=0.01, longest_pause=0.03, final_read=60, final_write=60)


class Weather:
    """Faults that come and go at random, each kind as often as the others, for `longest` seconds at most."""

    def __init__(self, server: LiveBinanceServer, machine: MachineClock, seed: int, longest: int) -> None:
        self._server = server
        self._machine = machine
        self._random = random.Random(seed)
        self._longest = longest
        self._coming: list[str] = []
        self._clears_at = 0.0
        self.seen: list[str] = []

    def change(self) -> None:
        """Clear up, or bring the next fault, on average after some minutes."""
        if self._clears_at and self._server.now >= self._clears_at:
            self.clear()
        elif not self._clears_at and self._random.random() < 1 / 25:
            if not self._coming:
                self._coming = self._random.sample(KINDS, len(KINDS))
            self.seen.append(self._coming.pop())
            self._clears_at = self._server.now + self._random.randint(30, self._longest)
            self._bring(self.seen[-1])

    def _bring(self, kind: str) -> None:
        faults = self._server.faults_of_stream
        if kind in ("lost", "closed", "refuses"):
            faults.refuses = kind == "refuses" or self._random.random() < 0.3
            self._server.disconnect(code=1001 if kind == "closed" else None)
        elif kind == "held":
            faults.held = self._random.randint(1, 40)
        elif kind == "rest":
            answer = self._random.choice([Answer({}, 502), Answer({}, 503), too_many(0), too_many(0, 418)])
            self._server.faults += [Fault(path, self._random.randint(1, 30), answer) for path in (KLINES, TIME)]
        elif kind == "clock":
            self._machine.ahead = self._random.uniform(-300, 300)
        elif kind == "fix":
            start = int(self._server.now // 60 - 3) * 60
            volume = between(self._server.candles("BTCUSDT", "1m"), TimeRange(start, start + 60))["volume"].iloc[0]
            self._server.correct("BTCUSDT", start, volume=float(volume) + 5)
        else:
            setattr(faults, kind, True)

    def clear(self) -> None:
        self._clears_at = 0.0
        self._machine.ahead = 0.0
        self._server.faults_of_stream = StreamFaults()
        self._server.faults.clear()


async def record(
    market: RecordedMarket, storage: DuckDBDataStorage, server: LiveBinanceServer, weather: Weather, hours: float
) -> tuple[Supervisor, int]:
    """Record for so many hours of the exchange, the last half hour without faults.

    Return the supervisor, and how many candles the recorder left out as unfinished.
    """
    recorder = Recorder(lambda: storage, pause_seconds=0.2)
    supervisor = Supervisor(market, storage, recorder, SUPERVISED)
    stop = asyncio.Event()
    running = asyncio.ensure_future(supervisor.run(stop))
    try:
        await until(lambda: server.subscriptions or running.done())
        end = server.now + hours * HOUR
        while server.now < end - HOUR / 2:
            weather.change()
            await pass_time(server, 10)
            assert not running.done()
        weather.clear()
        await until(lambda: supervisor.connected and server.connected)
        await pass_time(server, HOUR / 2, step=20)
    finally:
        stop.set()
        await asyncio.wait_for(running, 120)
        assert recorder.close(60)
    assert recorder.counts.dropped == recorder.counts.failed == 0
    return supervisor, recorder.counts.unfinished


def soak(folder: Path, seed: int, hours: float) -> None:
    """Record some hours, and compare the stream and the store with REST."""
    trades = {
        coin: random_trades(START - HOUR, START + round((hours + 1) * HOUR), rate, seed + place)
        for place, (coin, rate) in enumerate(COINS.items())
    }
    storage = DuckDBDataStorage(folder)
    with exchange(trades) as (server, machine):
        weather = Weather(server, machine, seed, longest=round(hours * 40) + 120)
        symbols = [f"{coin}/USDT" for coin in COINS]
        market = replace(open_market("binance", symbols), stream=open_stream("binance", symbols, pace=PACE))
        supervisor, unfinished = asyncio.run(record(market, storage, server, weather, hours))
        print(f"{hours} hours, {supervisor.totals.connections} connections, faults: {', '.join(weather.seen)}")
        found = supervisor.totals.comparison
        assert found.compared > 0.8 * hours * 60 * len(COINS)
        # What differed before the supervisor made the series of the stream equal to REST. When the machine's clock is
        # set back, the recorder leaves out what it has not written yet.
        assert (found.changed, found.extra) == (0, 0), found
        assert found.missing <= unfinished, found
        for series in market.series:
            assert_recorded(storage, server, series.live.key)
            assert_recorded(storage, server, series.settled.key)
    assert storage.verify().sound
    storage.close()


def assert_recorded(storage: DuckDBDataStorage, server: LiveBinanceServer, key: SeriesKey) -> None:
    """The series has what REST returns, from the beginning to the last quarter of an hour, and covers all of it."""
    within = TimeRange(START, int(server.now - 20 * 60) // 60 * 60)
    found = between(storage.read_pandas(storage.pin(key)), within)
    expected = between(server.candles(f"{key.asset.symbol}USDT", "1m"), within)
    assert starts(found) == starts(expected), key.label()
    assert found.to_numpy().tolist() == expected.to_numpy().tolist(), key.label()
    assert coverage.missing(within, storage.coverage(key)) == [], key.label()
    stored = storage.read_pandas(storage.pin(key))
    assert stored.index[-1].timestamp() + 60 <= server.now


def test_two_hours(tmp_path: Path) -> None:
    soak(tmp_path, seed=2, hours=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_day(tmp_path: Path, seed: int) -> None:
    soak(tmp_path, seed, hours=24)
