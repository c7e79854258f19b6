"""A day of simulated faults: at its end, the store has what the REST API returns."""

from __future__ import annotations

import random
import time as time_of_day
from contextlib import ExitStack

import pandas as pd
import pytest

from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock
from live.streams.recording import Recording, recording, rest, stored, wait_for
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from wire.loopback import Answer, Fault

pytestmark = pytest.mark.long

PAIRS = ("BTC/USD", "ETH/USD")
COLUMNS = ["o", "h", "l", "c", "v", "n", "vw"]
LIMITED = Answer({"message": "too many requests."}, 429, {"Retry-After": "0.01"})
BROKEN = Answer({"message": "internal error"}, 500)


class Day:
    """A day of a market, minute by minute, with faults by chance."""

    def __init__(self, server: AlpacaStreamServer, made: Recording, seed: int) -> None:
        self._server = server
        self._made = made
        self._dice = random.Random(seed)
        self._late: list[tuple[str, int]] = []
        self._down = 0

    def minute(self, number: int) -> None:
        server, dice = self._server, self._dice
        server.time.now += 60
        start = server.time.now - 60
        traded = [pair for pair in PAIRS if dice.random() < 0.8]
        for pair in traded:
            server.trade(pair, 100.0 + number / 8, feed="us", at=start)
        for pair, earlier in self._late:  # out of order
            server.publish(pair, earlier, feed="us")
        self._late = [(pair, start) for pair in traded if dice.random() < 0.05]
        for pair in traded:
            if (pair, start) not in self._late:
                server.publish(pair, start, feed="us")
                if dice.random() < 0.05:  # twice
                    server.publish(pair, start, feed="us")
        self._perhaps_correct(traded, start)
        self._perhaps_fail()

    def _perhaps_correct(self, traded: list[str], start: int) -> None:
        for pair in traded:
            if self._dice.random() < 0.03:
                self._server.trade(pair, 50.0, feed="us", at=start, volume=777)
                self._server.publish(pair, start, feed="us", channel="updatedBars")

    def _perhaps_fail(self) -> None:
        server, chance = self._server, self._dice.random()
        if self._down:
            self._down -= 1
            server.refuse_connections = self._down > 0
            if not self._down:
                wait_for(lambda: server.subscribed, "not connected again")
        elif chance < 0.01:
            server.disconnect()
            self._down = self._dice.randint(1, 20)
            server.refuse_connections = True
        elif chance < 0.015:
            server.fail(407, "slow client")
            wait_for(lambda: server.subscribed, "not connected again")
        elif chance < 0.02:
            server.fall_silent()
        elif chance < 0.04 and not any(fault.times for fault in server.rest.faults):
            server.rest.faults.append(Fault("bars", times=2, answer=self._dice.choice([LIMITED, BROKEN])))
        elif chance < 0.05:
            server.time.wrong_by = self._dice.choice([0, 0, -600, 45])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_day_with_faults(time: SimulatedClock, storage: DuckDBDataStorage, seed: int) -> None:
    with ExitStack() as ends:
        server = ends.enter_context(AlpacaStreamServer(time, PAIRS))
        restarted = random.Random(seed).randint(300, 1_100)
        ended = []
        for first, stop in ((0, restarted), (restarted, 1_440)):
            with recording(server, storage, PAIRS, ping_seconds=0.2) as made:
                day = Day(server, made, seed + first)
                for number in range(first, stop):
                    day.minute(number)
                server.refuse_connections = False
                wait_for(lambda: server.subscribed, "not connected at the end")
                server.rest.faults.clear()
                if stop == 1_440:
                    server.time.wrong_by = 0
                    _arrive_on_time(server, made)
                    server.time.now += 1_800
            ended.append(made)
    assert [each.error for each in ended] == [None, None]
    for pair in PAIRS:
        base, _, quote = pair.partition("/")
        expected = rest(server, pair, "us")[COLUMNS]
        for source in ("alpaca", "alpaca_live"):
            key = SeriesKey(AssetKey(base, "crypto", quote=quote), source, "minute")
            found = stored(storage, key)[COLUMNS].astype("float64")
            lacking = expected.index.difference(found.index).tolist()
            assert lacking == [], (key.label(), [each.supervisor.totals for each in ended], storage.coverage(key))
            pd.testing.assert_frame_equal(found, expected, check_names=False, check_index_type=False)
    assert storage.verify().sound


def _arrive_on_time(server: AlpacaStreamServer, made: Recording) -> None:
    """Let minutes pass until bars arrive in time: on a busy machine, the market is ahead of the recorder."""
    on_time = 0
    while on_time < 25:
        server.minute({PAIRS[0]: 100.0}, feeds=["us"], send="us")
        start = server.time.now - 60
        deadline = time_of_day.monotonic() + 0.5
        while (made.supervisor.totals.newest or 0) < start and time_of_day.monotonic() < deadline:
            time_of_day.sleep(0.002)
        on_time = on_time + 1 if made.supervisor.totals.newest == start else 0
