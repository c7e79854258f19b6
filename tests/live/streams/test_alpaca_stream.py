"""Alpaca's official client receives from the loopback server what Alpaca sends."""

from __future__ import annotations

import asyncio
import doctest
import json
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
from websockets.sync.client import connect

from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock, machine_clock
from live.streams.recording import redirected_to, wait_for
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.streams import alpaca_stream
from lumibot_duckdb.live.streams.alpaca_stream import AlpacaKey, AlpacaStream, key_from
from lumibot_duckdb.live.streams.bar_stream import StreamLostError, TooManyConnectionsError
from lumibot_duckdb.sources.alpaca.client import AlpacaProvider
from lumibot_duckdb.sources.provider import BarRequest
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, PlanLimitError
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from sources.alpaca.server import KEY, SECRET

RIGHT = AlpacaKey(KEY, SECRET)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AlpacaStreamServer]:
    time = SimulatedClock("2024-07-03 10:00")
    machine_clock(time, monkeypatch)
    with AlpacaStreamServer(time, ("SPY", "QQQ", "BTC/USD"), symbol_limit=3) as made, redirected_to(made):
        yield made


def received(stream: AlpacaStream, server: AlpacaStreamServer, act: Callable[[], None], count: int) -> list[LiveBars]:
    """Run a stream; when it has subscribed, do something, and close it when so many bars have arrived."""
    found: list[LiveBars] = []

    async def main() -> None:
        connected = asyncio.Event()
        running = asyncio.create_task(stream.run(found.append, connected.set))
        waiting = asyncio.create_task(connected.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await asyncio.to_thread(act)
            while len(found) < count and not running.done():
                await asyncio.sleep(0.002)
            if count:
                await stream.close()
        await asyncio.wait_for(running, 10)

    asyncio.run(main())
    return found


def test_bars_and_corrections(server: AlpacaStreamServer) -> None:
    def act() -> None:
        server.minute({"SPY": 500.0})
        start = server.time.now - 60
        server.publish("SPY", start, channel="dailyBars")  # not subscribed
        server.publish("SPY", start, channel="updatedBars", v=250)

    bar, correction = received(AlpacaStream(RIGHT, ["SPY", "QQQ"]), server, act, 2)
    start = server.time.now - 60
    assert (bar.key.asset, bar.key.source, bar.key.timeframe, bar.key.adjustment) == (
        AssetKey("SPY"),
        "alpaca_live",
        "minute",
        "",
    )
    assert bar.covered == (TimeRange(start, start + 60),)
    assert bar.asked_at.timestamp() >= start + 60
    assert (bar.replace, correction.replace) == (False, True)
    assert correction.bars["volume"].tolist() == [250]
    # The frame is that of REST to the bit, so that equal bars are equal in the store.
    (answer,) = AlpacaProvider(KEY, SECRET, feed="iex").bars(BarRequest("SPY", "minute", ((start, start + 60),)))
    pd.testing.assert_frame_equal(bar.bars, answer.bars)


def test_pairs(server: AlpacaStreamServer) -> None:
    def act() -> None:
        server.minute({"BTC/USD": 60_000.5}, feeds=["us"], send="us")

    (bar,) = received(AlpacaStream(RIGHT, ["BTC/USD"]), server, act, 1)
    assert bar.key.asset == AssetKey("BTC", "crypto", quote="USD")
    assert bar.bars["open"].tolist() == [60_000.5]


def test_delayed_feed(server: AlpacaStreamServer) -> None:
    def act() -> None:
        server.trade("SPY", 500.0, feed="sip", at=server.time.now - 16 * 60)
        server.publish("SPY", server.time.now - 16 * 60, feed="sip")

    (bar,) = received(AlpacaStream(RIGHT, ["SPY"], "delayed_sip"), server, act, 1)
    assert bar.metadata["feed"] == "delayed_sip"


@pytest.mark.parametrize(
    ("stream", "kind", "words"),
    [
        (AlpacaStream, InvalidKeyError, "ALPACA_API_SECRET"),
        (lambda: AlpacaStream(RIGHT, ["SPY"], "sip"), PlanLimitError, "--feed iex"),
        (lambda: AlpacaStream(RIGHT, ["A", "B", "C", "D"]), PlanLimitError, "fewer symbols"),
    ],
)
def test_refusals(
    server: AlpacaStreamServer, stream: Callable[[], AlpacaStream], kind: type[Exception], words: str
) -> None:
    server.plan_feeds = frozenset({"iex"})
    made = AlpacaStream(AlpacaKey(KEY, "a-wrong-secret"), ["SPY"]) if stream is AlpacaStream else stream()
    with pytest.raises(kind, match=words) as caught:
        received(made, server, lambda: None, 1)
    assert SECRET not in str(caught.value)
    assert "a-wrong-secret" not in str(caught.value)


def test_second_connection_is_refused(server: AlpacaStreamServer) -> None:
    def act() -> None:
        with pytest.raises(TooManyConnectionsError, match="most plans allow one"):
            received(AlpacaStream(RIGHT, ["SPY"]), server, lambda: None, 1)
        server.minute({"SPY": 500.0})

    assert len(received(AlpacaStream(RIGHT, ["SPY"]), server, act, 1)) == 1  # the first goes on


@pytest.mark.parametrize(
    "act",
    [
        AlpacaStreamServer.disconnect,
        AlpacaStreamServer.fall_silent,
        lambda server: server.fail(407, "slow client"),
        lambda server: server.fail(500, "internal error"),
    ],
    ids=["disconnect", "half-open", "slow client", "internal error"],
)
def test_lost_connections(server: AlpacaStreamServer, act: Callable[[AlpacaStreamServer], None]) -> None:
    stream = AlpacaStream(RIGHT, ["SPY"], ping_seconds=0.05)
    with pytest.raises(StreamLostError):
        received(stream, server, lambda: act(server), 0)
    assert len(received(stream, server, lambda: server.minute({"SPY": 1.0}), 1)) == 1  # it can be used again


def test_connection_that_cannot_be_made(server: AlpacaStreamServer) -> None:
    server.refuse_connections = True
    with pytest.raises(StreamLostError, match="Alpaca"):
        received(AlpacaStream(RIGHT, ["SPY"]), server, lambda: None, 1)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8])
def test_it_can_be_closed_while_it_connects(server: AlpacaStreamServer, steps: int) -> None:
    async def main() -> None:
        stream = AlpacaStream(RIGHT, ["SPY"])
        running = asyncio.create_task(stream.run(lambda bars: None, lambda: None))
        for _ in range(steps + 1):
            await asyncio.sleep(0)
        await stream.close()
        await asyncio.wait_for(running, 5)

    asyncio.run(main())


def test_bar_of_a_machine_whose_clock_is_behind(server: AlpacaStreamServer) -> None:
    server.time.wrong_by = -3600
    (bar,) = received(AlpacaStream(RIGHT, ["SPY"]), server, lambda: server.minute({"SPY": 500.0}), 1)
    assert bar.asked_at.timestamp() == server.time.now  # it had closed, whatever this machine believes


def test_examples() -> None:
    assert doctest.testmod(alpaca_stream) == (0, 1)


def test_key() -> None:
    assert key_from({"ALPACA_API_KEY": " PK ", "ALPACA_API_SECRET": "secret"}) == AlpacaKey("PK", "secret")
    assert "secret" not in repr(AlpacaKey("PK", "secret"))
    with pytest.raises(InvalidKeyError, match="ALPACA_API_KEY"):
        key_from({"ALPACA_API_KEY": "PK"})
    with pytest.raises(InvalidKeyError, match="accept no token"):
        key_from({"ALPACA_OAUTH_TOKEN": "token"})
    with pytest.raises(InvalidKeyError, match="copy it again") as caught:
        key_from({"ALPACA_API_KEY": "PK", "ALPACA_API_SECRET": "hidden\u200b"})
    assert "hidden" not in str(caught.value)


def test_server_speaks_json(server: AlpacaStreamServer) -> None:
    with connect(f"{server.url}/v2/iex") as connection:
        assert json.loads(connection.recv()) == [{"T": "success", "msg": "connected"}]
        connection.send(json.dumps({"action": "auth", "key": KEY, "secret": SECRET}))
        assert json.loads(connection.recv())[0]["msg"] == "authenticated"
        connection.send(json.dumps({"action": "subscribe", "dailyBars": ["*"], "bars": ["SPY"]}))
        assert json.loads(connection.recv())[0]["dailyBars"] == ["*"]
        connection.send(json.dumps({"action": "unsubscribe", "bars": ["SPY"]}))
        assert json.loads(connection.recv())[0]["bars"] == []
        wait_for(lambda: server.subscribed)
        server.trade("SPY", 500.0)
        server.publish("SPY", server.time.now - 60)
        server.publish("SPY", server.time.now - 60, channel="dailyBars")
        (bar,) = json.loads(connection.recv())
        assert (bar["T"], bar["S"], bar["t"]) == ("d", "SPY", "2024-07-03T13:59:00Z")
        connection.send(json.dumps({"action": "dance"}))
        assert json.loads(connection.recv())[0]["code"] == 400
