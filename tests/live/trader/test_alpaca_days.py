"""A day and a half session at Alpaca, with Lumibot's own broker, data source and live loop, and everything going wrong.

The process runs `run --live` in simulated time. Afterwards the store has what REST returns, and the strategy has seen
and done the same as without recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from live.trader import checks
from live.trader.alpaca_broker import AlpacaBroker
from live.trader.clock_page import ClockPage
from live.trader.director import Director, held, new_york
from live.trader.outages import Outage
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.live.rest_bars import RestBars
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from sources.alpaca.loopback_client import clients_redirected_to
from sources.alpaca.server import KEY, SECRET, Action

SCRIPT = Path(__file__).with_name("alpaca_script.py")
SYMBOLS = ("SPY", "QQQ", "HPQ")
MINUTES = [SeriesKey(AssetKey(symbol), "alpaca", "minute", "all") for symbol in SYMBOLS]
LARGER = [SeriesKey(AssetKey("SPY"), "alpaca", timeframe, "all") for timeframe in ("hour", "day")]
TIMEFRAMES = {"minute": ("1Min", 60), "hour": ("1Hour", 3_600), "day": ("1Day", 86_400)}
FIRST, LAST = date(2024, 6, 10), date(2024, 7, 8)
DAY, HALF_DAY = "2024-07-02", "2024-07-03"


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


def trade_two_days(at: Trading) -> list[str]:
    """Trade for a day, with all faults, and for half of the next; return the names of the sessions of killed processes."""
    broker, director, page = at.broker, at.director, at.broker.page
    broker.outages += outages(DAY)

    def until(time: str, day: str = DAY) -> None:
        director.run_until(new_york(f"{day} {time}"))

    director.start()
    until("11:10:20")
    with held(director.store):
        until("11:16:10")
    until("11:30:15")
    page.ahead = 40
    until("11:45:20")
    page.ahead = 0
    until("12:00:10")
    page.ahead = -20
    until("12:10:30")
    page.ahead = 0
    until("12:20:17")
    director.kill()
    page.now = new_york(f"{DAY} 12:34:30")
    director.start()
    until("14:00:02")
    director.kill()
    director.start()
    until("14:20:30")
    with held(director.results):
        until("14:24:30")
    until("16:40")
    director.stop()

    broker.actions.append(Action("QQQ", HALF_DAY, amount=0.5))
    page.now = new_york(f"{HALF_DAY} 09:15")
    director.start()
    until("13:40", HALF_DAY)
    director.stop()
    return ["Crossover-live", "Crossover-live-2"]


SESSIONS = [f"Crossover-live{suffix}" for suffix in ("", "-2", "-3", "-4")]


def assert_is_as_at_the_provider(at: Trading, keys: list[SeriesKey], begin: str, end: str) -> int:
    """Compare the store with REST; return the number of bars."""
    bars = 0
    with DuckDBDataStorage(at.director.store) as storage:
        assert storage.verify().sound
        for key in keys:
            timeframe, length = TIMEFRAMES[key.timeframe]
            assert checks.differences(storage, key, at.rest(key)) == []
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


@pytest.mark.long
def test_two_days_with_faults(tmp_path: Path) -> None:
    with trading(tmp_path / "recorded", f"{DAY} 09:15") as recorded:
        killed = trade_two_days(recorded)
        assert recorded.broker.unknown == []
        bars = assert_is_as_at_the_provider(recorded, MINUTES + LARGER, f"{DAY} 09:30", f"{HALF_DAY} 13:00")
        frames = checks.assert_sessions_are_what_was_seen(recorded.director, SESSIONS, killed)
    with trading(tmp_path / "plain", f"{DAY} 09:15", is_recorded=False) as plain:
        trade_two_days(plain)
    ours, theirs = recorded.director.seen(), plain.director.seen()
    assert checks.iterations(ours) == checks.iterations(theirs)
    assert ours == theirs
    assert recorded.broker.orders == plain.broker.orders
    print(f"{bars} bars, {frames} frames, {len(checks.iterations(ours))} iterations, {len(plain.broker.orders)} orders")
    print(f"{recorded.broker.failed} requests failed")
