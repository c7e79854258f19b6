"""Sessions of simulated hours: at their end, the store has what the REST API returns."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock, machine_clock
from live.streams.recording import recording, rest, stored, wait_for
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

SPY, QQQ = (SeriesKey(AssetKey(symbol), "alpaca", "minute", "all") for symbol in ("SPY", "QQQ"))
LIVE_SPY, LIVE_QQQ = (SeriesKey(AssetKey(symbol), "alpaca_live", "minute") for symbol in ("SPY", "QQQ"))


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    made = SimulatedClock("2024-07-03 09:25")  # the exchange closes at 13:00
    machine_clock(made, monkeypatch)
    return made


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    columns = ["o", "h", "l", "c", "v", "n", "vw"]
    pd.testing.assert_frame_equal(
        found[columns].astype("float64"), expected[columns], check_freq=False, check_names=False, check_index_type=False
    )


def test_half_session_with_faults(tmp_path: Path, time: SimulatedClock, caplog: pytest.LogCaptureFixture) -> None:
    storage = DuckDBDataStorage(tmp_path)
    dice = random.Random(18)
    with AlpacaStreamServer(time, ("SPY", "QQQ")) as server, recording(server, storage, ["SPY", "QQQ"]) as made:
        expected = 0
        for minute in range(5 + 210 + 60):
            trading = 5 <= minute < 215
            prices = {"SPY": 500 + minute / 8} if trading else {}
            if trading and dice.random() < 0.4:
                prices["QQQ"] = 400 + minute / 16
            connected = bool(server.subscribed)
            server.minute(prices)
            start = time.now - 60
            expected += len(prices) if connected else 0
            if minute == 40:
                server.disconnect()
                server.refuse_connections = True
            if minute == 47:
                server.refuse_connections = False
                wait_for(lambda: server.subscribed, "not connected again")
            if connected and trading and minute % 29 == 0 and minute != 40:  # a correction, as late trades arrive
                server.trade("SPY", 600.0, at=start)
                server.trade("SPY", 600.0, feed="sip", at=start, volume=300)
                server.publish("SPY", start, channel="updatedBars")
                server.publish("SPY", start)  # twice
                expected += 2
            if connected:
                made.received(expected)
        assert made.supervisor.totals.connections == 2
        last = time.now - 16 * 60
        wait_for(lambda: (made.supervisor.totals.settled_until or 0) >= last - 15 * 60, "nothing settled")
    assert made.error is None
    assert made.supervisor.totals.comparison.differing == 0, made.supervisor.totals.comparison
    for key, live, symbol in ((SPY, LIVE_SPY, "SPY"), (QQQ, LIVE_QQQ, "QQQ")):
        same(stored(storage, live), rest(server, symbol, "iex"))
        same(stored(storage, key), rest(server, symbol, "sip"))
        assert storage.facts(storage.pin(key)).rows > 70
