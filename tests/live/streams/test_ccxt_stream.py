"""The stream of ccxt's candles, with the real client, against a loopback Binance that trades and misbehaves."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import ccxt
import ccxt.pro
import pytest

from live.servers.binance_server import KLINES, TIME, LiveBinanceServer, random_trades
from live.servers.binance_session import (
    PACE,
    START,
    Watching,
    assert_same,
    exchange,
    merged,
    pass_time,
    starts,
    truth,
    until,
)
from lumibot_duckdb.live.closed import only_closed
from lumibot_duckdb.live.streams.ccxt_stream import Market, open_stream
from lumibot_duckdb.sources.ccxt import client
from lumibot_duckdb.sources.shared.errors import ProviderError, UnknownMarketError
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.coverage import merged as merged_ranges
from sources.ccxt.binance_server import INFO, too_many
from wire.loopback import Answer, Fault

BUSY = random_trades(START - 3_600, START + 8 * 3_600, per_minute=12, seed=1)
QUIET = random_trades(START - 3_600, START + 8 * 3_600, per_minute=0.15, seed=2, price=7.0)

LONG = pytest.mark.long  # the two hours of test_soak_ccxt.py have these faults, too
pytestmark = pytest.mark.xdist_group("ccxt_streams")  # importing ccxt's stream clients takes a second

Scenario = Callable[[Watching], Awaitable[None]]


def watch(scenario: Scenario, *symbols: str, timeframe: str = "minute") -> Watching:
    """Watch markets while a scenario plays, and return what came."""

    async def play() -> Watching:
        watching = Watching(open_stream("binance", symbols or ("BTC/USDT",), timeframe, pace=PACE))
        async with watching:
            await scenario(watching)
        return watching

    return asyncio.run(play())


async def subscribed(server: LiveBinanceServer, times: int = 1) -> None:
    await until(lambda: server.subscriptions >= times and server.connected)


def assert_complete(server: LiveBinanceServer, watching: Watching, since: int = START) -> None:
    """Each market's candles are those of REST, from the one in which the stream began to the last but one."""
    for market in watching.stream.markets:
        found = merged(watching.of(market))
        expected = truth(server, market, TimeRange(since, starts(found)[-1] + 60))
        assert_same(found, expected)
        assert server.now - starts(found)[-1] < 200


def first(watching: Watching) -> Market:
    return watching.stream.markets[0]


# -- without faults ------------------------------------------------------------------------------------------


def test_busy_and_quiet_markets_are_complete() -> None:
    with exchange({"BTC": BUSY, "IDLE": QUIET}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await until(lambda: watching.connections == 1)
            await pass_time(server, 900)
            await until(lambda: all(watching.latest(market) >= server.now - 130 for market in watching.stream.markets))

        watching = watch(scenario, "BTC/USDT", "IDLE/USDT", "BTC/USDT")
    assert [market.symbol for market in watching.stream.markets] == ["BTC/USDT", "IDLE/USDT"]
    assert_complete(server, watching)
    assert server.subscriptions == 1  # one message for all markets
    assert not watching.lost
    market = first(watching)
    assert market.live.source == "ccxt_live"
    assert (market.settled.source, market.settled.asset) == ("ccxt", market.live.asset)
    assert watching.received[0].metadata == {"symbol": "BTC/USDT"}


@pytest.mark.long  # on a busy machine, the test's market is faster than the client
def test_a_busy_market_needs_rest_for_its_first_candle_only() -> None:
    with exchange({"BTC": BUSY}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 60)
            await until(lambda: watching.received)
            server.faults.append(Fault(KLINES, times=1_000, answer=Answer({}, 503)))
            for _ in range(10):
                expected = int(server.now // 60) * 60
                await pass_time(server, 60)
                await until(lambda expected=expected: watching.latest(first(watching)) >= expected)  # type: ignore[misc]

        watching = watch(scenario)
    assert_complete(server, watching)


def test_an_exchange_without_empty_candles() -> None:
    with exchange({"IDLE": QUIET}, omits_empty=True) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 3_600)
            last = starts(truth(server, first(watching), TimeRange(START, int(server.now) - 120)))[-1]
            await until(lambda: watching.latest(first(watching)) >= last)

        watching = watch(scenario, "IDLE/USDT")
    found = merged(watching.received)
    assert_same(found, truth(server, first(watching), TimeRange(START, starts(found)[-1] + 60)))
    assert 3 < len(found) < 30
    # What lies between two candles is covered: it was empty.
    assert [a.covered[0].end for a in watching.received[:-1]] == [b.covered[0].start for b in watching.received[1:]]
    assert not watching.lost


def watch_four_hours(server: LiveBinanceServer) -> Watching:
    async def scenario(watching: Watching) -> None:
        await subscribed(server)
        await pass_time(server, 4 * 3_600, step=300)
        await until(lambda: len(watching.received) >= 4)

    return watch(scenario, timeframe="hour")


def test_hours() -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        watching = watch_four_hours(server)
    expected = server.candles("BTCUSDT", "1h")
    found = merged(watching.received)
    assert_same(found, expected.loc[found.index[0] : found.index[-1]])  # type: ignore[misc]
    assert found.index[0].timestamp() == START // 3_600 * 3_600


@pytest.mark.parametrize(("timeframe", "seconds"), [("hour", 3_600), ("day", 86_400)])
def test_larger_candles_leave_no_gap_in_the_coverage(timeframe: str, seconds: int) -> None:
    """Each is stored right after its end, when bars that begin in its second half could still be open."""
    trades = random_trades(START - 86_400, START + 6 * 86_400, per_minute=0.2, seed=3)
    with exchange({"BTC": trades}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            for candles in range(1, 5):
                await pass_time(server, seconds, step=seconds / 12)
                await until(lambda: len(watching.received) >= candles)  # noqa: B023

        watching = watch(scenario, timeframe=timeframe)
    stored = [only_closed(bars, bars.asked_at) for bars in watching.received]
    assert sum(len(bars.bars) for bars in stored) >= 4
    (covered,) = merged_ranges(piece for bars in stored for piece in bars.covered)
    first_bar, last_bar = starts(merged(watching.received))[0], starts(merged(watching.received))[-1]
    assert first_bar - seconds < covered.start <= first_bar  # no candle begins in between
    assert last_bar < covered.end <= last_bar + seconds


def test_a_candle_that_is_lost_is_not_covered_by_the_next_one() -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        watching = watch_four_hours(server)
    for before, bars in zip(watching.received, watching.received[1:], strict=False):
        (covered,) = bars.covered
        assert covered.start > starts(before.bars)[-1]


# -- faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [None, pytest.param(1001, marks=LONG)], ids=["without a word", "closed"])
def test_a_lost_connection_leaves_no_gap(code: int | None) -> None:
    with exchange({"BTC": BUSY, "IDLE": QUIET}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 300)
            server.faults_of_stream.refuses = True
            server.disconnect(code=code)
            await until(lambda: len(watching.lost) >= 2)  # lost, and refused again
            server.advance(400)
            server.faults_of_stream.refuses = False
            await subscribed(server, 2)
            await pass_time(server, 300)
            await until(lambda: all(watching.latest(market) >= server.now - 130 for market in watching.stream.markets))

        watching = watch(scenario, "BTC/USDT", "IDLE/USDT")
    assert_complete(server, watching)
    assert "Binance could not be reached, or closed the connection" in watching.lost[0]
    assert watching.connections == 2


def test_the_last_candle_of_a_lost_connection_is_not_taken_from_it() -> None:
    """ccxt keeps its candles when a connection is lost; a newer one then makes a half of a candle look complete."""
    with exchange({"BTC": BUSY}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 140)  # in the middle of a candle
            server.disconnect()
            await until(lambda: watching.lost)
            await subscribed(server, 2)
            await pass_time(server, 300)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)

        watching = watch(scenario)
    assert_complete(server, watching)
    assert not any(bars.replace for bars in watching.received)


def test_silence_is_noticed_and_repaired() -> None:
    with exchange({"BTC": BUSY}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 300)
            server.faults_of_stream.silent = True
            while not watching.lost:
                assert server.now < START + 3_600
                await pass_time(server, 10)
            server.faults_of_stream.silent = False
            await subscribed(server, 2)
            await pass_time(server, 300)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)

        watching = watch(scenario)
    assert_complete(server, watching)
    assert "had trades in BTC/USDT at 2023-11-14 22:" in watching.lost[0]
    assert watching.lost[0].endswith("UTC, but the stream sent nothing")


@pytest.mark.parametrize("fault", [pytest.param("duplicates", marks=LONG), "stale", pytest.param("swaps", marks=LONG)])
def test_events_in_disorder(fault: str) -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        setattr(server.faults_of_stream, fault, True)

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 1_200, step=7)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)

        watching = watch(scenario)
    assert_complete(server, watching)
    assert not any(bars.replace for bars in watching.received)
    assert not watching.lost


def test_a_correction_replaces_the_candle() -> None:
    with exchange({"BTC": BUSY}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 600)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)
            server.correct("BTCUSDT", START + 180, close=123.0, high=123.0, volume=9_999.0)
            await until(lambda: any(bars.replace for bars in watching.received))
            await pass_time(server, 120)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)

        watching = watch(scenario)
    assert_complete(server, watching)
    (correction,) = [bars for bars in watching.received if bars.replace]
    assert (starts(correction.bars), correction.bars["close"].tolist()) == ([START + 180], [123.0])
    assert correction.covered == (TimeRange(START + 180, START + 240),)


@LONG
def test_late_events() -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        server.faults_of_stream.held = 25

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 1_200, step=5)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)

        watching = watch(scenario)
    assert_complete(server, watching)


@pytest.mark.parametrize("ahead", [-600.0, pytest.param(600.0, marks=LONG)], ids=["behind", "ahead"])
def test_the_computers_clock_is_wrong(ahead: float) -> None:
    """It is wrong from the beginning, and then by twice as much in the other direction."""
    with exchange({"BTC": BUSY, "IDLE": QUIET}) as (server, machine):
        machine.ahead = ahead

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 200)
            machine.ahead = -ahead
            await pass_time(server, 500)
            await until(lambda: all(watching.latest(market) >= server.now - 130 for market in watching.stream.markets))

        watching = watch(scenario, "BTC/USDT", "IDLE/USDT")
    assert_complete(server, watching)
    for bars in watching.received:
        assert bars.covered[0].end <= server.now  # none that was open


@LONG
def test_an_exchange_that_ccxt_cannot_ask_for_its_time() -> None:
    """The dates of its answers tell."""
    with exchange({"BTC": BUSY, "IDLE": QUIET}) as (server, machine):
        client.PROVIDERS["binance"].exchange().has["fetchTime"] = False
        machine.ahead = 600.0

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 500)
            await until(lambda: all(watching.latest(market) >= server.now - 130 for market in watching.stream.markets))

        watching = watch(scenario, "BTC/USDT", "IDLE/USDT")
    assert_complete(server, watching)
    assert not server.asked(TIME)
    for bars in watching.received:
        assert bars.covered[0].end <= server.now


@LONG
def test_the_exchanges_clock_leaps_ahead() -> None:
    with exchange({"BTC": BUSY, "IDLE": QUIET}) as (server, machine):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 300)
            server.now += 400
            machine.ahead = -400
            await pass_time(server, 600)
            await until(lambda: all(watching.latest(market) >= server.now - 130 for market in watching.stream.markets))

        watching = watch(scenario, "BTC/USDT", "IDLE/USDT")
    assert_complete(server, watching)


@LONG
@pytest.mark.parametrize("answer", [Answer({}, 502), Answer({}, 503), too_many(0), too_many(0, 418)])
def test_rest_is_away_for_a_while(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with exchange({"BTC": BUSY, "IDLE": QUIET}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 300)
            server.faults += [Fault(path, times=12, answer=answer) for path in (KLINES, TIME)]
            while any(fault.times for fault in server.faults):
                assert server.now < START + 6 * 3_600
                await pass_time(server, 60)
            await pass_time(server, 1_000)
            await until(lambda: all(watching.latest(market) >= server.now - 130 for market in watching.stream.markets))

        with caplog.at_level(logging.WARNING, "lumibot_duckdb"):
            watching = watch(scenario, "BTC/USDT", "IDLE/USDT")
    assert_complete(server, watching)
    assert not watching.lost
    if answer.status >= 500:
        assert "Candles that the stream did not complete wait for Binance: " in caplog.text


def test_a_connection_ends_after_a_day() -> None:
    with exchange({"BTC": random_trades(START, START + 26 * 3_600, per_minute=1, seed=3)}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            server.advance(60)
            server.now += 86_400 - 120
            await pass_time(server, 60)
            await until(lambda: watching.lost)
            await subscribed(server, 2)
            await pass_time(server, 120)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)

        watching = watch(scenario)
    found = merged(watching.received)
    assert len(found) > 990  # the stream asks for a thousand candles; older ones are left to the backfill
    assert_same(found.iloc[-900:], truth(server, first(watching), TimeRange(*_span(found.iloc[-900:]))))


def _span(bars: Any) -> tuple[int, int]:
    return starts(bars)[0], starts(bars)[-1] + 60


@pytest.mark.long
def test_thousands_of_messages_that_arrive_together() -> None:
    """With ccxt's own way of reading them, the connection would fall silent."""
    hectic = random_trades(START, START + 3_600, per_minute=6_000, seed=4)
    with exchange({"BTC": hectic}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 70)
            await until(lambda: watching.received)  # by REST; all others come from the stream
            server.faults.append(Fault(KLINES, times=1_000, answer=Answer({}, 503)))
            for _ in range(45):
                for _ in range(100):
                    server.advance(0.1)
                expected = int(server.now // 60) * 60 - 60
                await until(lambda expected=expected: watching.latest(first(watching)) >= expected)  # type: ignore[misc]

        watching = watch(scenario)
    assert_complete(server, watching)
    assert not watching.lost


# -- refusals ------------------------------------------------------------------------------------------------


def test_closing_ends_the_run_at_once() -> None:
    with exchange({"BTC": BUSY}) as (server, _):

        async def play() -> None:
            stream = open_stream("binance", ["BTC/USDT"], pace=PACE)
            running = asyncio.ensure_future(stream.run(lambda bars: None, lambda: None))
            await subscribed(server)
            await stream.close()
            await asyncio.wait_for(running, 5)
            await until(lambda: not server.connected)

        asyncio.run(play())


@pytest.mark.long  # it waits for seconds
def test_closing_does_not_wait_for_an_exchange_that_is_gone() -> None:
    """The other end accepts a connection, and never sends anything again: not even the answer to a close frame."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        (key,) = re.findall(r"(?i)sec-websocket-key: (\S+)", head)
        digest = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
        lines = (b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade")
        writer.write(b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + digest, b"", b""]))
        await asyncio.sleep(60)

    async def play() -> None:
        gone = await asyncio.start_server(accept, "127.0.0.1", 0)
        address = f"ws://127.0.0.1:{gone.sockets[0].getsockname()[1]}/stream/ws"
        connected = asyncio.Event()
        with mock.patch.object(LiveBinanceServer, "stream_url", address):
            stream = open_stream("binance", ["BTC/USDT"], pace=PACE)
            running = asyncio.ensure_future(stream.run(lambda bars: None, connected.set))
            await asyncio.wait_for(connected.wait(), 10)
            await stream.close()
            await asyncio.wait_for(running, 8)  # aiohttp would wait for ten seconds

    with exchange({"BTC": BUSY}):
        asyncio.run(play())


def test_exchanges_of_which_ccxt_watches_one_market_at_a_time() -> None:
    lacks = {"has": {"watchOHLCVForSymbols": False}}

    async def scenario(watching: Watching) -> None:
        await subscribed(server, 2)
        await pass_time(server, 200)
        server.disconnect()
        await until(lambda: watching.lost)
        await subscribed(server, 4)
        await pass_time(server, 200)
        await until(lambda: all(watching.latest(market) >= server.now - 130 for market in watching.stream.markets))

    with exchange({"BTC": BUSY, "IDLE": QUIET}) as (server, _):
        described = ccxt.pro.binance.describe
        with mock.patch.object(ccxt.pro.binance, "describe", lambda self: self.deep_extend(described(self), lacks)):
            watching = watch(scenario, "BTC/USDT", "IDLE/USDT")
    assert_complete(server, watching)
    assert server.subscriptions == 4  # each market has a message of its own


def test_an_unknown_market_is_refused_before_anything_is_subscribed_to() -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        stream = open_stream("binance", ["BTC/USDT", "BTC/USD"], pace=PACE)
        with pytest.raises(UnknownMarketError, match="Binance has no market BTC/USD; of BTC it has BTC/USDT"):
            asyncio.run(stream.run(lambda bars: None, lambda: None))
        assert server.connected == 0


def test_a_subscription_that_is_refused() -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        server.faults_of_stream.rejects = True
        with pytest.raises(ProviderError, match=r"Binance refuses the request .*invalid stream"):
            asyncio.run(open_stream("binance", ["BTC/USDT"], pace=PACE).run(lambda bars: None, lambda: None))


def test_a_subscription_that_is_refused_later_is_tried_again() -> None:
    """It worked before, so it is not the symbol or the timeframe that is wrong."""
    with exchange({"BTC": BUSY}) as (server, _):

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 130)
            await until(lambda: watching.received)
            server.faults_of_stream.rejects = True
            server.disconnect()
            await until(lambda: len(watching.lost) >= 2)
            server.faults_of_stream.rejects = False
            await subscribed(server, 2)
            await pass_time(server, 130)
            await until(lambda: watching.latest(first(watching)) >= server.now - 130)

        watching = watch(scenario)
    assert_complete(server, watching)
    assert "invalid stream" in watching.lost[1]


def test_a_place_that_is_not_served() -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        server.faults.append(Fault(INFO, times=9, answer=Answer({"code": 0, "msg": "restricted location"}, 451)))
        with pytest.raises(ProviderError, match="does not serve the place"):
            asyncio.run(open_stream("binance", ["BTC/USDT"]).run(lambda bars: None, lambda: None))


def test_maintenance_at_the_beginning_is_a_lost_connection() -> None:
    with exchange({"BTC": BUSY}) as (server, _):
        server.faults.append(Fault(INFO, times=6, answer=Answer({"code": -1, "msg": "System maintenance."}, 503)))

        async def scenario(watching: Watching) -> None:
            await subscribed(server)
            await pass_time(server, 200)
            await until(lambda: watching.received)

        watching = watch(scenario)
    assert "Binance is not available" in watching.lost[0]
    assert_complete(server, watching)


@pytest.mark.parametrize("exchange_id", ["coinbase", "coinbaseexchange"])
def test_exchanges_that_stream_no_candles(exchange_id: str) -> None:
    with pytest.raises(ProviderError, match=f"{exchange_id} sends no candles over websockets .* or okx"):
        open_stream(exchange_id, ["BTC/USD"])


def test_mistakes_are_named() -> None:
    with pytest.raises(ProviderError, match="use the provider alpaca"):
        open_stream("alpaca", ["BTC/USD"])
    with pytest.raises(ProviderError, match="knows no exchange 'binanse'"):
        open_stream("binanse", ["BTC/USDT"])
    with pytest.raises(ValueError, match="no markets: name at least one"):
        open_stream("binance", [])
    with pytest.raises(ValueError, match="candles of minute, hour, day, not '5minute': resample"):
        open_stream("binance", ["BTC/USDT"], "5minute")


@pytest.mark.parametrize("exchange_id", ["kraken", "okx", "bybit", "kucoin", "bitget"])
def test_other_exchanges_are_accepted(exchange_id: str) -> None:
    assert open_stream(exchange_id, ["BTC/USDT"]).markets[0].settled.asset.exchange == exchange_id
    assert "1m" in getattr(ccxt, exchange_id)().timeframes
