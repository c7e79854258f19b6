"""What the supervisor does about lost connections, wrong clocks, corrections, restarts, refusals and failing REST."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock
from live.streams.recording import PACE, Recording, recording, redirected_to, rest, stored, wait_for
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.streams.alpaca_stream import AlpacaKey
from lumibot_duckdb.live.streams.bar_stream import StreamLostError
from lumibot_duckdb.live.streams.connection_loop import ConnectionLoop
from lumibot_duckdb.sources.shared.errors import (
    InvalidKeyError,
    PlanLimitError,
    ProviderError,
    ProviderUnavailableError,
    UnknownSymbolError,
)
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from sources.alpaca.server import KEY, Action
from storage.held_store import locked
from wire.loopback import Answer, Fault

SPY = SeriesKey(AssetKey("SPY"), "alpaca", "minute", "all")
LIVE = SeriesKey(AssetKey("SPY"), "alpaca_live", "minute")
COLUMNS = ["o", "h", "l", "c", "v", "n", "vw"]


def equal(storage: DuckDBDataStorage, key: SeriesKey, server: AlpacaStreamServer, feed: str, until: int) -> None:
    """Assert that a series has the bars of REST that start before a time."""
    expected = rest(server, PAIR if key.asset.quote else key.asset.symbol, feed)
    found = stored(storage, key)[COLUMNS].astype("float64")
    expected, found = (frame[frame.index < until] for frame in (expected[COLUMNS], found))
    assert len(found)
    pd.testing.assert_frame_equal(found, expected, check_names=False, check_index_type=False)


def trade(server: AlpacaStreamServer, made: Recording, minutes: int, *, price: float = 500.0) -> None:
    """Let minutes of SPY pass, each of which is received."""
    totals = made.supervisor.totals
    for minute in range(minutes):
        before = totals.streamed + totals.corrections
        server.minute({"SPY": price + minute})
        made.received(before + 1)


def settle(server: AlpacaStreamServer, minutes: int = 32) -> None:
    """Let time pass without trades."""
    for _ in range(minutes):
        server.minute({})


def test_bars_are_readable_at_once_and_settled_bars_after_the_margin(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 10)
        wait_for(lambda: len(stored(storage, LIVE)) == 10, "the bars of the stream")
        assert len(stored(storage, SPY)) == 0
        settle(server, 31)
        wait_for(lambda: len(stored(storage, SPY)) == 10, "the settled bars")
    assert made.error is None
    equal(storage, SPY, server, "sip", time.now)
    equal(storage, LIVE, server, "iex", time.now)
    (covered,) = storage.coverage(SPY, permanent_only=True)
    assert covered.end <= time.now - 15 * 60


def test_what_was_missed_is_read_after_a_reconnection(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with recording(server, storage, ["SPY"], ping_seconds=0.3) as made:
        trade(server, made, 10)
        server.counts_silent = True  # the half-open connection still counts: Alpaca refuses another one at first
        server.fall_silent()
        wait_for(lambda: "connection limit exceeded" in caplog.text, "no refusal")
        for minute in range(5):
            server.minute({"SPY": 550.0 + minute})
        server.counts_silent = False
        wait_for(lambda: made.supervisor.totals.connections == 2, "not connected again")
        server.minute({})
        wait_for(lambda: len(stored(storage, LIVE)) == 15, "the bars of the gap")
        trade(server, made, 3)
    assert made.error is None
    assert made.supervisor.totals.connections == 2
    assert "bars of the time without a connection" in caplog.text
    equal(storage, LIVE, server, "iex", time.now)


def test_corrections_are_written_together(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 6)
        first = time.now - 6 * 60
        for number in range(3):
            start = first + number * 60
            for feed in ("iex", "sip"):
                server.trade("SPY", 600.0 + number, feed=feed, at=start, volume=100 if feed == "iex" else 300)
            server.publish("SPY", start, channel="updatedBars")
        made.received(9)
        settle(server)
        wait_for(lambda: len(stored(storage, SPY)) == 6, "the settled bars")
    assert made.supervisor.totals.corrections == 3
    assert made.supervisor.totals.comparison.differing == 0, "corrections that were sent are no differences"
    equal(storage, LIVE, server, "iex", time.now)
    assert storage.statistics().versions == 3  # a second one of the live series, for all corrections


def test_differences_are_reported(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 3)
        server.time.now += 60
        server.trade("SPY", 510.0)
        server.publish("SPY", time.now - 60, c=999.0)  # the stream sends another value than REST
        made.received(4)
        server.time.now += 60
        server.trade("SPY", 511.0)  # and nothing for this minute
        trade(server, made, 1)
        settle(server)
    found = made.supervisor.totals.comparison
    assert (found.compared, found.changed, found.missing, found.extra) == (6, 1, 1, 0)
    assert found.examples == (
        "SPY stock 2024-07-03 09:28 close 999 instead of 510.125",
        "SPY stock 2024-07-03 09:29 was not sent",
    )
    assert "2 of 6 bars differed" in caplog.text
    summary = made.supervisor.totals.summary("Alpaca (iex)", 1, made.recorder.counts)
    assert "Stream and REST: 2 of 6 bars differed (1 had other values, 1 were not sent, 0 were sent only)" in summary
    equal(storage, LIVE, server, "iex", time.now)


def test_a_clock_that_is_ahead_covers_nothing_that_is_yet_to_come(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, caplog: pytest.LogCaptureFixture
) -> None:
    settle(server, 30)  # 9:55
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 25)
        time.wrong_by = 40 * 60
        trade(server, made, 60)
        wait_for(lambda: storage.coverage(SPY), "nothing settled")
        # Until bars have shown that the clock is wrong, the last bar bounds what an answer proves.
        assert all(covered.end <= time.now for covered in storage.coverage(SPY, permanent_only=True))
        settle(server, 40)
    assert made.error is None
    assert "the clock of this machine is ahead" in caplog.text
    last = made.supervisor.totals.settled_until
    assert last is not None
    equal(storage, SPY, server, "sip", last)
    equal(storage, LIVE, server, "iex", time.now)


def test_a_clock_that_is_set_back(server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock) -> None:
    time.wrong_by = 3 * 3600
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 5)
        time.wrong_by = 0
        trade(server, made, 30)
    assert made.error is None
    equal(storage, LIVE, server, "iex", time.now)
    assert len(stored(storage, LIVE)) == 35
    assert all(covered.end <= time.now for covered in storage.coverage(SPY, permanent_only=True))


def test_an_exchange_whose_clock_jumps(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 5)
        jumped = time.now + 3600
        server.trade("SPY", 777.0, at=jumped)
        server.publish("SPY", jumped)  # a bar of an hour later, which REST never has
        made.received(6)
        del server.rest.feeds["iex"]["SPY"][jumped]
        trade(server, made, 90)
        settle(server)
    assert made.error is None
    assert made.supervisor.totals.comparison.differing <= 1
    equal(storage, LIVE, server, "iex", time.now)
    equal(storage, SPY, server, "sip", time.now)


@pytest.mark.parametrize("wrong_by", [0, -22 * 60])
def test_a_restart_continues_where_the_last_recording_ended(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, wrong_by: int
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 10)
    for minute in range(20):
        server.minute({"SPY": 520.0 + minute})
    time.wrong_by = wrong_by  # set back to before the last bars, which are not settled yet
    with recording(server, storage, ["SPY"]) as made:
        server.minute({})
        if not wrong_by:
            wait_for(lambda: len(stored(storage, LIVE)) == 30, "the bars of the break")
        trade(server, made, 5)
        settle(server)
        time.wrong_by = 0
    assert made.error is None
    equal(storage, LIVE, server, "iex", time.now)
    equal(storage, SPY, server, "sip", time.now)
    assert len(stored(storage, SPY)) == 35


PAIR = "BTC/USD"
LIVE_PAIR = SeriesKey(AssetKey("BTC", "crypto", quote="USD"), "alpaca_live", "minute")


def store_live(server: AlpacaStreamServer, storage: DuckDBDataStorage, minutes: range) -> None:
    """Store minutes of the pair as a recorder did that was killed then."""
    bars = rest(server, PAIR, "us").iloc[minutes.start : minutes.stop]
    index = pd.to_datetime(bars.index, unit="s", utc=True)
    named = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "n": "trade_count", "vw": "vwap"}
    first, last = int(bars.index[0]), int(bars.index[-1])
    storage.store_ohlcv_data(
        LIVE_PAIR.asset,
        bars.set_axis(index).rename(columns=named),
        "alpaca_live",
        "minute",
        covered=TimeRange(first, last + 60),
        spool=True,
    )


def test_a_restart_reads_what_killed_recorders_had_missed_before_midnight(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    """The first one was killed at 23:20, and the next one at 0:10, before it had read what it had missed."""
    time.now += int(13.5 * 3600)
    for _ in range(80):
        time.now += 60
        server.trade(PAIR, 100.0, feed="us")
    store_live(server, storage, range(25))
    store_live(server, storage, range(66, 76))
    with recording(server, storage, [PAIR]) as made:
        settle(server)
        wait_for(lambda: len(stored(storage, LIVE_PAIR)) == 80, "what was missed")
    assert made.error is None
    assert made.supervisor.totals.comparison.differing == 0
    for key in (LIVE_PAIR, replace(LIVE_PAIR, source="alpaca")):
        equal(storage, key, server, "us", time.now)
        (covered,) = storage.coverage(key)
        assert covered.start == int(rest(server, PAIR, "us").index[0])


def test_a_restart_continues_after_bars_that_only_wait_beside_the_store(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    for _ in range(40):
        time.now += 60
        server.trade(PAIR, 100.0, feed="us")
    with locked(storage.path):
        store_live(server, storage, range(10))
    with recording(server, storage, [PAIR]):
        settle(server)
        wait_for(lambda: len(stored(storage, LIVE_PAIR)) == 40, "what was missed")


def test_the_day_is_compared_after_midnight(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 5)
        server.rest.feeds["iex"]["SPY"][time.now - 120]["v"] = 12_345
        time.now += 15 * 3600
        wait_for(lambda: made.supervisor.totals.comparison.changed == 1, "not compared")
        wait_for(lambda: 12_345 in stored(storage, LIVE)["v"].tolist(), "not corrected")
    equal(storage, LIVE, server, "iex", time.now)


def test_rest_that_fails_is_tried_again(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, caplog: pytest.LogCaptureFixture
) -> None:
    limited = Answer({"message": "too many requests."}, 429, {"Retry-After": "0.01"})
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 5)
        server.rest.faults += [
            Fault("stocks/bars", times=3, answer=limited),
            Fault("stocks/bars", times=1, answer=Answer({"message": "no such thing"}, 422)),
        ]
        settle(server, 32)
        wait_for(lambda: "could not be read again" in caplog.text, "no failure")
        settle(server, 16)
        wait_for(lambda: len(stored(storage, SPY)) == 5, "the settled bars")
    assert made.error is None
    equal(storage, SPY, server, "sip", time.now)


def test_a_connection_that_says_nothing_is_given_up(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 3)
        for minute in range(3, 70):  # pings are answered, but no bars are sent
            time.now += 60
            for feed in ("iex", "sip"):
                server.trade("SPY", 500.0 + minute, feed=feed)
        wait_for(lambda: made.supervisor.totals.connections == 2, "not connected again")
        trade(server, made, 3)
    assert made.error is None
    assert "no bars arrive, but REST has some" in caplog.text
    equal(storage, LIVE, server, "iex", time.now - 3 * 60)


def test_pairs(server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock) -> None:
    key = SeriesKey(AssetKey("BTC", "crypto", quote="USD"), "alpaca", "minute")
    with recording(server, storage, ["BTC/USD"]) as made:
        for minute in range(10):
            server.minute({"BTC/USD": 60_000.0 + minute}, feeds=["us"], send="us")
        made.received(10)
        settle(server, 31)
        wait_for(lambda: len(stored(storage, key)) == 10, "the settled bars")
    assert made.supervisor.totals.comparison.differing == 0


@pytest.mark.parametrize(("feed", "delay"), [("sip", 0), ("delayed_sip", 15)])
def test_feeds_of_all_exchanges(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, feed: str, delay: int
) -> None:
    server.rest.sip_delay = delay * 60
    settle(server, 30)
    with recording(server, storage, ["SPY"], feed) as made:
        for minute in range(40):
            time.now += 60
            server.trade("SPY", 500.0 + minute, feed="sip")
            late = time.now - 60 - delay * 60
            if late in server.rest.feeds["sip"]["SPY"]:
                server.publish("SPY", late, feed="sip")
                made.received(1 + minute - delay)
        settle(server, 35)
    assert made.error is None
    assert made.supervisor.totals.streamed == 40 - delay
    settled = made.supervisor.totals.settled_until
    assert settled is not None
    equal(storage, SPY, server, "sip", settled)
    equal(storage, LIVE, server, "sip", settled)


def test_two_recorders_of_the_same_symbols_do_no_harm(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    server.connections_allowed = 2
    with recording(server, storage, ["SPY"]) as one:
        other = Recording(storage, ["SPY"]).start()
        wait_for(lambda: server.subscribed == 2, "not both connected")
        trade(server, one, 10)
        other.received(10)
        settle(server)
        other.stop()
    assert one.error is None
    assert other.error is None
    equal(storage, LIVE, server, "iex", time.now)
    equal(storage, SPY, server, "sip", time.now)


def test_a_split_restates_the_adjusted_series_before_bars_are_added(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 5)
        settle(server)
    assert len(stored(storage, SPY)) == 5
    ended = time.now
    time.now += 2 * 86_400
    server.rest.actions.append(Action("SPY", "2024-07-05", before=1, after=2))
    today = time.now
    with recording(server, storage, ["SPY"]) as made:
        wait_for(lambda: made.supervisor.totals.settled_until, "no first reading, which restates the series")
        trade(server, made, 5, price=250.0)
        settle(server)
    assert made.error is None
    found = stored(storage, SPY)
    assert len(found) == 5
    assert found.index.min() >= today
    # The first day is not covered any more, so that a backtest downloads it as it is adjusted now.
    assert all(covered.start >= ended for covered in storage.coverage(SPY))
    assert len(stored(storage, LIVE)) == 10  # raw prices stay as they were
    asked = len(server.rest.asked("corporate-actions"))
    assert 0 < asked <= 4  # once a day


@pytest.mark.long
def test_a_store_that_another_program_holds_costs_nothing(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock
) -> None:
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.readline()"
    with recording(server, storage, ["SPY"]) as made:
        trade(server, made, 5)
        wait_for(lambda: len(stored(storage, LIVE)) == 5, "the bars before")
        storage.close()
        command = [sys.executable, "-c", hold, str(storage.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            holder.stdout.readline()
            trade(server, made, 40)  # a time for settled bars comes and passes
            wait_for(lambda: made.recorder.counts.spooled > 0, "nothing kept beside the store")
            trade(server, made, 5)
            holder.stdin.close()
        settle(server)
    assert made.error is None
    assert made.recorder.counts.failed == made.recorder.counts.dropped == 0
    assert made.supervisor.totals.comparison.differing == 0
    equal(storage, LIVE, server, "iex", time.now)
    equal(storage, SPY, server, "sip", time.now)


def test_refusals_end_the_recording(server: AlpacaStreamServer, storage: DuckDBDataStorage) -> None:
    def error_of(symbols: list[str], feed: str = "iex", key: AlpacaKey | None = None) -> BaseException | None:
        with redirected_to(server):
            made = Recording(storage, symbols, feed, key, refused_connections=3).start()
            made.join()
        return made.error

    wrong = error_of(["SPY"], key=AlpacaKey(KEY, "a-wrong-secret"))
    assert isinstance(wrong, InvalidKeyError)
    assert "a-wrong-secret" not in str(wrong)
    unknown = error_of(["SPY", "SPYY"])
    assert isinstance(unknown, UnknownSymbolError)
    assert "no bars of SPYY:" in str(unknown)
    server.plan_feeds = frozenset({"iex"})
    assert isinstance(error_of(["SPY"], "sip"), PlanLimitError)
    server.connections_allowed = 0
    busy = error_of(["SPY"])
    assert isinstance(busy, ProviderError)
    assert "Stop the other program" in str(busy)


def test_an_outage_at_the_start_is_not_logged_at_each_attempt(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    def check() -> None:
        attempts.append(1)
        if len(attempts) < 13:
            raise ProviderUnavailableError("Alpaca could not be reached: try again later.")

    with redirected_to(server):
        made = Recording(storage, ["SPY"], first_pause=0.001, longest_pause=0.001)
        made.supervisor._market = replace(made.supervisor._market, check=check)
        made.start()
        wait_for(lambda: made.supervisor.totals.connections or made.error, "no subscription")
        made.stop()
    assert made.error is None
    assert len(attempts) == 13
    assert caplog.messages.count("Alpaca could not be reached: try again later.") == 3


def test_the_reason_of_a_lost_connection_ends_without_a_full_stop(caplog: pytest.LogCaptureFixture) -> None:
    class Unavailable:
        def __init__(self) -> None:
            self.attempts = 0

        async def run(self, *arguments: object) -> None:
            self.attempts += 1
            if self.attempts == 2:
                stop.set()
            raise StreamLostError("Binance is not available: try again later.")

        async def close(self) -> None: ...

    def nothing(*arguments: object) -> None: ...

    async def connect() -> None:
        loop = ConnectionLoop(Unavailable(), "binance", PACE, on_bars=nothing, on_connected=nothing, on_lost=nothing)
        await loop.run(stop)

    stop = asyncio.Event()
    asyncio.run(connect())
    (message,) = caplog.messages
    assert message.startswith("not connected to binance: Binance is not available: try again later; attempt 1 in 0.0 s")
