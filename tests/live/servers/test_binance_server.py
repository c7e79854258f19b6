"""The loopback Binance's stream, as its documentation has it. What ccxt makes of it is in test_ccxt_stream.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from live.servers.binance_server import DAY, LiveBinanceServer, random_trades

START = 1_700_000_040


@pytest.fixture
def server() -> Iterator[LiveBinanceServer]:
    server = LiveBinanceServer(now=START)
    server.list_trades("BTC", "USDT", random_trades(START - 120, START + 3_600, 20, seed=1))
    with server:
        yield server


def ask(socket: ClientConnection, **message: Any) -> Any:
    socket.send(json.dumps(message))
    return json.loads(socket.recv(5))


def subscribe(socket: ClientConnection) -> None:
    assert ask(socket, method="SUBSCRIBE", params=["btcusdt@kline_1m"], id=7) == {"result": None, "id": 7}


def test_an_event_has_the_candle_so_far_and_whether_it_has_closed(server: LiveBinanceServer) -> None:
    with connect(server.stream_url) as socket:
        subscribe(socket)
        server.advance(30)
        half = json.loads(socket.recv(5))
        server.advance(40)
        whole, next_one = (json.loads(socket.recv(5)) for _ in range(2))
    assert (half["e"], half["s"], half["E"]) == ("kline", "BTCUSDT", (START + 30) * 1000)
    assert [event["k"]["x"] for event in (half, whole, next_one)] == [False, True, False]
    assert [event["k"]["t"] // 1000 - START for event in (half, whole, next_one)] == [0, 0, 60]
    assert whole["k"]["T"] == (START + 60) * 1000 - 1
    assert float(half["k"]["v"]) < float(whole["k"]["v"])
    closed = server.candles("BTCUSDT", "1m").iloc[-2]
    assert [float(whole["k"][name]) for name in "ohlcv"] == closed.tolist()


def test_streams_can_be_listed_and_left(server: LiveBinanceServer) -> None:
    with connect(server.stream_url) as socket:
        subscribe(socket)
        assert ask(socket, method="LIST_SUBSCRIPTIONS", id=8) == {"result": ["btcusdt@kline_1m"], "id": 8}
        assert ask(socket, method="UNSUBSCRIBE", params=["btcusdt@kline_1m"], id=9) == {"result": None, "id": 9}
        server.advance(60)
        assert ask(socket, method="LIST_SUBSCRIPTIONS", id=10) == {"result": [], "id": 10}


def test_combined_streams_are_wrapped(server: LiveBinanceServer) -> None:
    base = server.stream_url.partition("/stream.")[0]
    with connect(f"{base}/stream?streams=") as socket:
        subscribe(socket)
        server.advance(30)
        event = json.loads(socket.recv(5))
    assert (event["stream"], event["data"]["e"]) == ("btcusdt@kline_1m", "kline")


def test_mistakes_are_answered_with_a_code(server: LiveBinanceServer) -> None:
    with connect(server.stream_url) as socket:
        socket.send("{")
        assert json.loads(socket.recv(5))["error"]["code"] == 3
        assert ask(socket, method="WATCH", id=1)["error"]["code"] == 2
        assert ask(socket, method="SUBSCRIBE", params="btcusdt", id=1)["error"]["code"] == 2


def test_a_connection_lasts_a_day(server: LiveBinanceServer) -> None:
    with connect(server.stream_url) as socket:
        subscribe(socket)
        server.now += DAY
        server.advance(1)
        with pytest.raises(ConnectionClosed):
            list(iter(socket.recv, None))


def test_refusals(server: LiveBinanceServer) -> None:
    base = server.stream_url.partition("/stream.")[0]
    with pytest.raises(InvalidStatus, match="404"):
        connect(f"{base}/elsewhere")
    server.faults_of_stream.refuses = True
    with pytest.raises(InvalidStatus, match="503"):
        connect(server.stream_url)
