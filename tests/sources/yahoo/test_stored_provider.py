"""Lumibot's Yahoo class on the store instead of Yahoo: the same answers, trades and cache files."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yfinance
from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting
from lumibot.entities import Asset
from lumibot.tools.yahoo_helper import YahooHelper
from yfinance.exceptions import YFException

from comparison.offline import assert_same_files, offline, written
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.shared.stored_answers import Unanswered
from parity.backtests import BacktestResult, assert_same_result, run
from parity.ground import silence
from parity.harness import Answer, Request, random_requests
from parity.strategies import HoldForEvents
from sources.yahoo import ground as yahoo_ground
from sources.yahoo.market import made_up, new_york_days, walk, with_minutes
from sources.yahoo.server import Instrument, YahooServer
from sources.yahoo.sides import Side, both_sides
from sources.yahoo.test_parity_requests import KINDS, _ask, assert_same, assets_of, moment

pytestmark = [
    pytest.mark.xdist_group("stored_provider_yahoo"),  # what they share is made once
    pytest.mark.usefixtures("clean_directory"),
]

TODAY = dt.date.today()
SPAN = moment(TODAY - dt.timedelta(days=400)), moment(TODAY - dt.timedelta(days=100))
LAST_DAY = TODAY - dt.timedelta(days=2)  # a day that is not over is not stored
LATELY = moment(LAST_DAY - dt.timedelta(days=4)), moment(LAST_DAY)
DAILY = {
    "AAA": "stock",
    "FUND": "stock",
    "BTC-USD": "stock",
    "ES": "future",
    "GSPC": "index",
    "GAPS": "stock",
    "VOD.L": "stock",
    "SILENT": "stock",
    "UNKNOWN": "stock",
}
INTRADAY = {"AAA": "stock", "VOD.L": "stock", "ES": "future", "YOUNG": "stock"}
EVENTS = {"assets": [Asset("AAA"), Asset("FUND")], "sleeptime": "1D"}


def server() -> YahooServer:
    """Return a server of instruments of all sorts, with a benchmark and a rate, and minutes of the last days."""
    instruments = made_up(TODAY)
    days = [day.date() for day in new_york_days(str(TODAY - dt.timedelta(days=6)), str(TODAY))]
    with_minutes(instruments["AAA"], 1, days)
    with_minutes(instruments["VOD.L"], 2, days, ("07:00", "18:00"))
    with_minutes(instruments["ES=F"], 4, days, ("00:00", "24:00"))
    # Its days begin before New York's. The last one is not over, so the store would lack what Lumibot's cache has.
    coin = instruments["BTC-USD"]
    coin.daily = coin.daily.loc[: str(LAST_DAY - dt.timedelta(days=1))]  # type: ignore[misc]
    sessions = new_york_days(str(TODAY - dt.timedelta(days=900)), str(TODAY))
    instruments["SPY"] = Instrument(walk(sessions, 20, price=400.0), dividends={sessions[99].date(): 1.5})
    instruments["^IRX"] = Instrument(walk(sessions, 21, price=4.2), kind="INDEX")
    return YahooServer(instruments=instruments, now=moment(LAST_DAY).tz_convert("UTC"))


def unexpected(notes: Unanswered) -> list[str]:
    """Return what is said to be missing, but for weekends and holidays of exchanges whose calendars are not known."""
    return [line for line in notes.lines() if not line.startswith(("ES=F", "VOD.L"))]


def from_store(side: Side, store: Path) -> AbstractContextManager[Unanswered]:
    return offline(side, store, yahoo_ground, "yfinance_redirected_to")


def answers(side: Side, span: Any, asked: Sequence[Request]) -> list[Answer]:
    """Return what a new source answers; the side must be entered."""
    with silence():
        source = side.source(*(end.to_pydatetime() for end in span))
        found = [_ask(source, request) for request in asked]
        source.shutdown()
        return found


def backtest(side: Side) -> BacktestResult:
    """Run a strategy with the usual benchmark and the usual risk-free rate."""
    start, end = (str(TODAY - dt.timedelta(days=days)) for days in (300, 230))
    settings: dict[str, Any] = {"benchmark_asset": "SPY", "risk_free_rate": None}
    return run(HoldForEvents, side.source_class, side.folder / "run", start, end, dict(EVENTS), **settings)


@dataclass(frozen=True)
class Online:
    """What Lumibot's class did with Yahoo's server: first, and on its cache then; what ours stored of it."""

    daily: list[Request]
    intraday: list[Request]
    first: tuple[list[Answer], list[Answer]]
    warm: tuple[list[Answer], list[Answer]]
    trades: BacktestResult
    rate: float
    cache: Path
    store: Path


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Online:
    """Run both classes; from then on there is no server."""
    folder, rng = tmp_path_factory.mktemp("online"), random.Random(3)
    index = pd.date_range(*SPAN, freq="13h")
    daily = list(random_requests(rng, assets_of(DAILY), index, 120, ("day", "1d"), kinds=KINDS))
    steps = ("minute", "15 minutes", "day")
    index = pd.date_range(*LATELY, freq="7min")
    intraday = list(random_requests(rng, assets_of(INTRADAY), index, 60, steps, kinds={"history": 8, "last_price": 2}))
    theirs, ours = both_sides(folder)
    traded = Side(LumibotYahooDataBacktesting, folder / "traded")
    with server() as yahoo:
        with theirs.entered(yahoo):
            first, warm = ((answers(theirs, SPAN, daily), answers(theirs, LATELY, intraday)) for _ in range(2))
        with traded.entered(yahoo):
            trades = backtest(traded)
            rate = trades.strategy.risk_free_rate
        with ours.entered(yahoo):
            assert_same(daily, first[0], answers(ours, SPAN, daily))
            assert_same(intraday, first[1], answers(ours, LATELY, intraday))
            backtest(ours)
    return Online(daily, intraday, first, warm, trades, rate, theirs.pickles, ours.store)


def test_lumibots_class_answers_and_caches_as_with_yahoo(online: Online, tmp_path: Path) -> None:
    theirs = Side(LumibotYahooDataBacktesting, tmp_path / "theirs")
    with from_store(theirs, online.store) as notes:
        for daily, intraday in (online.first, online.warm):
            assert_same(online.daily, daily, answers(theirs, SPAN, online.daily))
            assert_same(online.intraday, intraday, answers(theirs, LATELY, online.intraday))
    assert unexpected(notes) == []
    assert assert_same_files(online.cache, theirs.pickles) > 10


def test_our_class_answers_the_same_asks_for_nothing_and_writes_nothing(online: Online, tmp_path: Path) -> None:
    _, ours = both_sides(tmp_path)
    before = written(online.store)
    with from_store(ours, online.store) as notes:
        assert_same(online.daily, online.first[0], answers(ours, SPAN, online.daily))
        assert_same(online.intraday, online.first[1], answers(ours, LATELY, online.intraday))
    assert written(online.store) == before
    assert unexpected(notes) == []


def test_a_strategy_its_benchmark_and_its_rate_are_the_same(online: Online, tmp_path: Path) -> None:
    for side in both_sides(tmp_path):
        with from_store(side, online.store) as notes:
            found = backtest(side)
            assert found.strategy.risk_free_rate == online.rate > 0
        assert_same_result(online.trades, found, fills=2)
        expected = online.trades.strategy._benchmark_returns_df
        pd.testing.assert_frame_equal(expected, found.strategy._benchmark_returns_df, check_exact=True)
        assert unexpected(notes) == []


def test_what_is_not_stored_is_answered_with_nothing_and_named(online: Online, tmp_path: Path) -> None:
    """Bars after the last stored day are reported as missing if they are needed, but not for a whole history."""
    side = Side(LumibotYahooDataBacktesting, tmp_path)
    later = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=30)
    with offline(side, online.store, yahoo_ground, "yfinance_redirected_to", later) as notes:
        for needed in (SPAN[1], moment(LAST_DAY)):
            assert len(YahooHelper.get_symbol_data("AAA", last_needed_datetime=needed)) > 700
        assert unexpected(notes) == []
        assert len(YahooHelper.get_symbol_data("AAA", last_needed_datetime=later)) > 700
        assert YahooHelper.get_symbol_data("ELSE", last_needed_datetime=later) is None
        assert YahooHelper.get_symbol_info("ELSE")["error"]
        assert yfinance.Ticker("AAA").history(interval="1h").empty
        with pytest.raises(YFException):
            _ = yfinance.Ticker("AAA").options
        named = notes.lines()
    assert named[0] == "1h bars of AAA from Yahoo"
    assert named[1].startswith("AAA stock, day bars from yahoo (split): ")
    assert named[1].endswith(f"to {later:%Y-%m-%d %H:%M} (UTC)")
    assert named[2:] == [
        "ELSE stock, day bars from yahoo (split)",
        "Yahoo's https://query2.finance.yahoo.com/v7/finance/options/AAA",
    ]


def test_yfinance_gives_what_it_gave(online: Online, tmp_path: Path) -> None:
    """Periods end with the last stored day; prices are adjusted by its own arithmetic."""
    with server() as yahoo, Side(LumibotYahooDataBacktesting, tmp_path / "online").entered(yahoo):
        days = {"start": SPAN[0], "end": SPAN[1]}
        asked: list[dict[str, Any]] = [days, {"period": "max"}, {**days, "auto_adjust": False, "actions": False}]
        expected = [yfinance.Ticker("AAA").history(**settings) for settings in asked]
    with from_store(Side(LumibotYahooDataBacktesting, tmp_path / "offline"), online.store):
        ticker = yfinance.Ticker("AAA")
        for frame, settings in zip(expected, asked, strict=True):
            pd.testing.assert_frame_equal(frame, ticker.history(**settings), check_exact=True, check_freq=False)
        assert ticker.history(period="7d").equals(ticker.history(period="max").iloc[-7:])


@pytest.mark.parametrize("kept", [(), ("stock_splits",), ("adj_close",), ("adj_close", "dividend")])
def test_bars_that_a_user_stored_without_some_columns_have_no_events(kept: tuple[str, ...], tmp_path: Path) -> None:
    """Yahoo's bars always have dividends, splits and adjusted prices, so Lumibot's class relies on them."""
    own = walk(new_york_days("2023-01-03", "2023-06-30"), 3).tz_localize("America/New_York")
    events = {"adj_close": own["close"] * 0.9, "dividend": 0.25, "stock_splits": 0.0}
    with DuckDBDataStorage(tmp_path / "own.duckdb") as storage:
        own = own.assign(**{name: events[name] for name in kept})
        storage.store_ohlcv_data("OWN", own, "yahoo", "day", adjustment="split")
    theirs, ours = both_sides(tmp_path)
    seen = []
    for side, auto_adjust in ((theirs, False), (ours, False), (ours, True)):  # Lumibot's own adjustment is broken
        with from_store(side, tmp_path / "own.duckdb"), silence():
            source = side.source(moment("2023-04-03"), moment("2023-06-01"), auto_adjust=auto_adjust)
            source._datetime = moment("2023-05-15 12:00")
            seen.append(source.get_historical_prices("OWN", 20, "day").df)
            source.shutdown()
    expected, found, adjusted = seen
    pd.testing.assert_frame_equal(expected, found, check_exact=True, check_freq=False)
    assert (found["dividend"] == (0.25 if "dividend" in kept else 0.0)).all()
    assert (adjusted["close"] / found["close"]).round(9).unique().tolist() == [0.9 if "adj_close" in kept else 1.0]
