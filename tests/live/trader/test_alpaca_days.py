"""A day and a half session at Alpaca, with Lumibot's own broker, data source and live loop, and everything going wrong.

The process runs `run --live` in simulated time. Afterwards the store has what REST returns, and the strategy has seen
and done the same as without recording.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pytest

from live.trader import checks
from live.trader.alpaca_broker import AlpacaBroker, final_at
from live.trader.clock_page import ClockPage
from live.trader.director import Director, held, new_york
from live.trader.outages import Outage
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.live.recorded import recorded_series
from lumibot_duckdb.live.rest_bars import RestBars
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from sources.alpaca.loopback_client import clients_redirected_to
from sources.alpaca.server import KEY, SECRET, Action

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="simulated time needs /proc")

SCRIPT = Path(__file__).with_name("alpaca_script.py")
SYMBOLS = ("SPY", "QQQ", "HPQ")
MINUTES = [SeriesKey(AssetKey(symbol), "alpaca", "minute", "all") for symbol in SYMBOLS]
DAYS = [SeriesKey(each.asset, "alpaca", "day", "all") for each in MINUTES]
"""Lumibot makes the strategy's hours of minutes, and reads days of what it holds, for dividends."""
TIMEFRAMES = {"minute": ("1Min", 60), "day": ("1Day", 86_400)}
FIRST, LAST = date(2024, 6, 10), date(2024, 7, 8)
DAY, HALF_DAY = "2024-07-02", "2024-07-03"
CORRECTED_LATE = f"{DAY} 14:10"
"""A minute that changes half an hour after it has settled: it stays as it was, and `live check` reports it."""


@dataclass
class Trading:
    """A server and what trades there."""

    broker: AlpacaBroker
    director: Director

    def rest(self, key: SeriesKey) -> pd.DataFrame:
        """Return all bars of a series that REST has now."""
        rest = RestBars({"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET})
        within = TimeRange(int(new_york(str(FIRST))), int(self.broker.page.now))
        with clients_redirected_to(self.broker.url):
            return pd.concat([response.bars for response in rest.responses(key, [within])]).sort_index()


@contextmanager
def trading(folder: Path, begin: str, *, is_recorded: bool = True, delay: int = 0) -> Iterator[Trading]:
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    page = ClockPage(clock)
    page.now = page.limit = new_york(begin)
    broker = AlpacaBroker(page=page)
    for symbol in SYMBOLS:
        broker.serve("stock", symbol, us_stock_bars(symbol, FIRST, LAST))
    variables = {"KEY_OF_SCRIPT": KEY, "SECRET_OF_SCRIPT": SECRET, "DATA_SOURCE_DELAY": str(delay)}
    with broker:
        director = Director(folder, page, clock, "alpaca", broker.url, SCRIPT, is_recorded, variables)
        try:
            yield Trading(broker, director)
        finally:
            director.kill()


def outages(day: str) -> list[Outage]:
    """Return what fails on a day."""

    def between(start: str, end: str, *more: object) -> Outage:
        return Outage(new_york(f"{day} {start}"), new_york(f"{day} {end}"), *more)  # type: ignore[arg-type]

    return [
        between("09:49:30", "09:52:30", 429, "stocks/bars"),
        between("10:04:30", "10:06:30", 500),
        between("10:09:30", "10:12:30", None, "stocks/bars"),
        between("10:30", "10:50"),
    ]


def trade_a_morning(at: Trading) -> None:
    """Trade until two o'clock, with most faults. A process is killed, and another one is started later."""
    broker, director, page = at.broker, at.director, at.broker.page
    broker.outages += outages(DAY)

    def until(time: str) -> None:
        director.run_until(new_york(f"{DAY} {time}"))

    director.start()
    until("11:10:20")
    with held(director.store):
        until("11:16:10")
    for ahead, time in ((40, "11:30:15"), (0, "11:45:05"), (-20, "12:00:10"), (0, "12:10:30")):
        until(time)
        page.ahead = ahead
    until("12:20:17")
    director.kill()
    page.now = new_york(f"{DAY} 12:34:30")
    director.start()
    until("13:59:30")


def trade_an_afternoon(at: Trading) -> None:
    """Kill the process, start another one, and stop it in the evening."""
    broker, director = at.broker, at.director

    def until(time: str) -> None:
        director.run_until(new_york(f"{DAY} {time}"))

    until("14:00:02")
    director.kill()
    director.start()
    until("14:20:30")
    with held(director.results):
        until("14:24:30")
    until("15:00:20")
    broker.correct("SPY", new_york(CORRECTED_LATE), v=123_456)
    until("16:40")
    director.stop()


def trade_a_half_day(at: Trading) -> None:
    """Trade for the next day, on which a dividend has changed all earlier prices of a stock."""
    at.broker.actions.append(Action("QQQ", HALF_DAY, amount=0.5))
    at.broker.page.now = new_york(f"{HALF_DAY} 09:15")
    at.director.start()
    at.director.run_until(new_york(f"{HALF_DAY} 13:40"))
    at.director.stop()


def assert_is_as_at_the_provider(
    at: Trading, begin: str, end: str, known: Mapping[SeriesKey, Sequence[str]] = MappingProxyType({})
) -> int:
    """Compare the store with REST, but for known differences; return the number of bars."""
    bars = 0
    with DuckDBDataStorage(at.director.store) as storage:
        assert storage.verify().sound
        recorded = [
            each.info.key for each in recorded_series(storage, at.broker.page.utc_now() - timedelta(days=7), ["alpaca"])
        ]
        assert set(MINUTES + DAYS[:1]) <= set(recorded) <= set(MINUTES + DAYS)
        for key in recorded:
            timeframe, length = TIMEFRAMES[key.timeframe]
            assert checks.differences(storage, key, at.rest(key)) == [*known.get(key, ())]
            answered = [
                (each.start, each.end, each.at)
                for each in at.broker.answered
                if (each.symbol, each.timeframe) == (key.asset.symbol, timeframe)
            ]
            assert checks.not_proven(storage.coverage(key), answered, length) == [], key.label()
            bars += len(storage.read_pandas(storage.pin(key)))
            if key.timeframe == "minute":
                assert checks.gaps(storage, key, new_york(begin), new_york(end)) == [], key.label()
    return bars


def assert_check_finds_the_late_correction(at: Trading) -> None:
    """`live check` compares the first day with the provider."""
    keys = {"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET}
    found = checks.command(
        at.director, "live", "check", "--day", DAY, "--store", str(at.director.store), "--json", **keys
    )
    assert found.returncode == 1, found.stderr
    series = json.loads(found.stdout)["series"]
    assert len(series) > len(MINUTES)
    (differs,) = [each for each in series if not each["equal"]]
    assert (differs["symbol"], differs["timeframe"], differs["bars_different"]) == ("SPY", "minute", 1)
    assert pd.Timestamp(differs["first_differences"][0]["bar"]).timestamp() == new_york(CORRECTED_LATE)


def assert_replay_saw_the_same(at: Trading, session: str) -> int:
    """`live replay` finds no other differences than bars that were corrected; return how many requests it compared.

    Of hours and days, it compares what Lumibot's backtests make of minutes, which they fill where there was no trade.
    """
    store = str(at.director.store)
    found = checks.command(
        at.director, "live", "replay", session, str(SCRIPT), "--store", store, "--json", STRATEGY_LOG=os.devnull
    )
    assert found.stdout, found.stderr
    requests = [each for each in json.loads(found.stdout)["requests"] if each["timestep"] == "minute"]
    compared = [each for each in requests if each["backtest_time"] is not None and each["live_time"] is not None]
    assert len(compared) > 0.9 * len(requests)
    for request in compared:
        assert request["outcome"] in ("equal", "unfinished bar", "bars differ"), request
        if request["outcome"] == "bars differ":
            start = pd.Timestamp(request["first_difference"]["bar"]).timestamp()
            assert final_at(request["asset"], int(start)) > start + 60 or start == new_york(CORRECTED_LATE), request
    return len(compared)


def test_some_minutes_with_faults(tmp_path: Path) -> None:
    """The short form of the test below. Its process starts while the market is open."""
    with trading(tmp_path, f"{DAY} 10:00:30") as at:
        at.broker.outages.append(Outage(new_york(f"{DAY} 10:03:30"), new_york(f"{DAY} 10:04:30"), 500, "stocks/bars"))
        at.director.start()
        at.director.run_until(new_york(f"{DAY} 10:02:20"))
        with held(at.director.store):
            at.director.run_until(new_york(f"{DAY} 10:05:20"))
        at.director.run_until(new_york(f"{DAY} 10:06:20"))
        at.director.stop()
        assert at.broker.failed > 0
        assert len(checks.iterations(at.director.seen())) == 6
        assert assert_is_as_at_the_provider(at, f"{DAY} 09:30", f"{DAY} 09:50") > 60
        assert checks.assert_sessions_are_what_was_seen(at.director, ["Crossover-live"], killed=()) > 20


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_two_days_with_faults(tmp_path: Path) -> None:
    with trading(tmp_path / "recorded", f"{DAY} 09:15") as recorded:
        trade_a_morning(recorded)
        trade_an_afternoon(recorded)
        replayed = assert_replay_saw_the_same(recorded, "Crossover-live-3")
        trade_a_half_day(recorded)
        assert recorded.broker.unknown == []
        late = f"{MINUTES[0].label()} 2024-07-02 18:10:00+00:00: other values"
        bars = assert_is_as_at_the_provider(recorded, f"{DAY} 09:30", f"{HALF_DAY} 13:00", {MINUTES[0]: [late]})
        assert_check_finds_the_late_correction(recorded)
        sessions = [f"Crossover-live{suffix}" for suffix in ("", "-2", "-3", "-4")]
        frames = checks.assert_sessions_are_what_was_seen(recorded.director, sessions, killed=sessions[:2])
        iterations = len(checks.iterations(recorded.director.seen()))
        print(f"\n{bars} bars, {frames} frames, {replayed} of them replayed, {iterations} iterations,", end=" ")
        print(f"{len(recorded.broker.orders)} orders, {recorded.broker.failed} requests failed")


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_the_strategy_does_what_it_does_without_recording(tmp_path: Path) -> None:
    seen, orders = [], []
    for is_recorded in (True, False):
        with trading(tmp_path / str(is_recorded), f"{DAY} 09:15", is_recorded=is_recorded) as at:
            trade_a_morning(at)
            seen.append(checks.closed_bars_seen(at.director.seen()))
            orders.append(
                [(each["symbol"], each["side"], each["qty"], each["filled_avg_price"]) for each in at.broker.orders]
            )
    assert seen[0] == seen[1]
    assert orders[0] == orders[1]
    assert len(orders[0]) > 20
    assert len({moment for moment, what, *_ in seen[0] if what == "iteration"}) > 200
