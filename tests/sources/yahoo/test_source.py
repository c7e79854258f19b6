"""The requests of our Yahoo source, by the server's log, and the store from run to run."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting
from lumibot.data_sources import YahooData as LumibotYahooData
from lumibot.entities import Asset
from lumibot.tools import YahooHelper

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting, YahooData, YahooDataBacktesting
from lumibot_duckdb.sources.provider import BarRequest
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError, UnknownSymbolError
from lumibot_duckdb.sources.yahoo import source as yahoo
from lumibot_duckdb.sources.yahoo.client import COLUMNS, EARLIEST, YahooProvider
from lumibot_duckdb.sources.yahoo.history import ADJUSTMENT, SOURCE, YahooHistory
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from lumibot_duckdb.storage.errors import HistoryRestatedError
from parity.harness import assert_same_frame
from sources.yahoo.market import made_up, new_york_days, walk, with_minutes
from sources.yahoo.server import Instrument, YahooServer
from sources.yahoo.sides import Side, both_sides
from wire.loopback import Answer, Fault

NEW_YORK = "America/New_York"
DAYS = new_york_days("2023-01-03", "2024-06-28")
HASTE = RetryPolicy(limit_pause=0.01, fault_pause=0.01, longest_pause=0.02, attempts=2)


def moment(text: Any) -> dt.datetime:
    return pd.Timestamp(text, tz=NEW_YORK).to_pydatetime()


@pytest.fixture
def server() -> Iterator[YahooServer]:
    """A stock that pays on 2024-03-15 and 2024-05-15, and is split on 2024-04-15."""
    stock = Instrument(
        walk(DAYS, 1),
        dividends=dict.fromkeys(map(dt.date.fromisoformat, ("2023-09-15", "2024-03-15", "2024-05-15")), 0.5),
        splits={dt.date(2024, 4, 15): (4.0, 1.0)},
    )
    with YahooServer(instruments={**made_up(dt.date(2024, 6, 28)), "STK": stock}) as server:
        at(server, "2024-02-02 18:00")
        yield server


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Side:
    monkeypatch.setattr(yahoo, "YahooProvider", lambda: YahooProvider(retry_policy=HASTE))
    return both_sides(tmp_path)[1]


def at(server: YahooServer, time: str) -> None:
    server.now = pd.Timestamp(time, tz=NEW_YORK).tz_convert("UTC")


def source(side: Side, end: str = "2024-12-31", **settings: Any) -> Any:
    made = side.source(moment("2023-06-01"), moment(end), **settings)
    made._datetime = moment("2024-02-01 12:00")
    return made


def closes(
    side: Side, server: YahooServer, asset: Asset | str = "STK", length: int = 5, **settings: Any
) -> list[float]:
    """Return the last closes that a new backtest sees on the first of February 2024."""
    with side.entered(server):
        made = source(side, **settings)
        bars = made.get_historical_prices(asset, length, "day")
        made.shutdown()
        return [] if bars is None else bars.df["close"].tolist()


def helper_frame(side: Side, server: YahooServer, symbol: str, interval: str) -> pd.DataFrame:
    """Return what Lumibot's helper gives on an empty cache."""
    with side.entered(server):
        frame: pd.DataFrame = YahooHelper.fetch_symbol_data(symbol, caching=False, interval=interval)
        return frame


def history(
    side: Side, server: YahooServer, symbol: str = "STK", timeframe: str = "day", **settings: Any
) -> YahooHistory:
    """Return a history of a new process, up to now. The side must be entered."""
    found = YahooHistory(
        DuckDBDataStorage(side.store), YahooProvider(retry_policy=HASTE), symbol, timeframe, **settings
    )
    found.ensure(server.moment().to_pydatetime())
    return found


def asked_since(server: YahooServer, before: int) -> list[str]:
    return [request.path for request in server.requests[before:]]


# -- what is asked ---------------------------------------------------------------------------------------------


def test_a_second_run_asks_nothing_and_a_later_one_just_for_what_came(server: YahooServer, ours: Side) -> None:
    first = closes(ours, server)
    assert len(server.charts("STK")) == 1
    before = len(server.requests)
    assert closes(ours, server, end="2024-02-01") == first
    assert asked_since(server, before) == []
    at(server, "2024-02-08 18:00")
    assert closes(ours, server, end="2024-02-01") == first
    assert asked_since(server, before) == []  # the backtest ends before what came
    assert closes(ours, server) == first
    (again,) = server.charts("STK")[1:]
    assert pd.Timestamp(int(again.query["period1"]), unit="s", tz=NEW_YORK) >= pd.Timestamp("2024-02-01", tz=NEW_YORK)
    assert not [path for path in asked_since(server, before) if "quote" in path]


@pytest.mark.parametrize("quiet", ["2024-02-03 12:00", "2024-02-04 23:00", "2024-02-05 08:00"])
def test_a_weekend_costs_no_request(server: YahooServer, ours: Side, quiet: str) -> None:
    at(server, "2024-02-03 01:00")
    closes(ours, server)
    before = len(server.requests)
    at(server, quiet)
    closes(ours, server)
    assert asked_since(server, before) == []
    at(server, "2024-02-05 10:00")
    closes(ours, server)
    assert len(server.charts("STK")) == 2


def test_a_holiday_costs_no_request(server: YahooServer, ours: Side) -> None:
    at(server, "2024-05-25 01:00")
    closes(ours, server)
    before = len(server.requests)
    at(server, "2024-05-27 15:00")  # Memorial Day
    closes(ours, server)
    assert asked_since(server, before) == []
    at(server, "2024-05-28 15:00")
    closes(ours, server)
    assert len(server.charts("STK")) == 2


def test_crypto_trades_on_weekends_and_foreign_stocks_on_us_holidays(server: YahooServer, ours: Side) -> None:
    at(server, "2024-05-25 01:00")
    for symbol in ("BTC-USD", "VOD.L"):
        closes(ours, server, symbol)
    at(server, "2024-05-26 12:00")  # a Sunday
    for symbol in ("BTC-USD", "VOD.L"):
        closes(ours, server, symbol)
    assert (len(server.charts("BTC-USD")), len(server.charts("VOD.L"))) == (2, 1)
    at(server, "2024-05-27 12:00")
    closes(ours, server, "VOD.L")
    assert len(server.charts("VOD.L")) == 2


def test_bars_that_come_late_are_requested_again(server: YahooServer, ours: Side) -> None:
    """As those of funds do: the day has no bar yet in the evening, nor the next morning."""
    fund = server.instruments["FUND"]
    late = pd.Timestamp("2024-02-06")
    whole = fund.daily
    at(server, "2024-02-07 08:00")
    fund.daily = whole.drop(late)
    with ours.entered(server):
        assert history(ours, server, "FUND").frame().index[-1].date() == dt.date(2024, 2, 5)
    fund.daily = whole
    with ours.entered(server):
        assert history(ours, server, "FUND").frame().index[-1].date() == dt.date(2024, 2, 6)


def test_the_first_form_that_answers_is_remembered(server: YahooServer, ours: Side) -> None:
    future = Asset("ESH24", "future")
    first = closes(ours, server, future)
    assert len(first) == 5
    before = len(server.requests)
    assert closes(ours, server, future, end="2024-02-01") == first
    at(server, "2024-02-08 18:00")
    closes(ours, server, future)
    assert {path.rsplit("/", 1)[-1] for path in asked_since(server, before) if "chart" in path} == {"ES=F"}
    at(server, "2024-02-09 18:00")
    before = len(server.requests)
    closes(ours, server, Asset("NQH24", "future"))
    tried = [path.rsplit("/", 1)[-1] for path in asked_since(server, before) if "chart" in path]
    assert list(dict.fromkeys(tried)) == [
        *(f"NQH24.{exchange}" for exchange in ("CME", "NYMEX", "CBOT", "COMEX", "NYBOT")),
        "NQ=F",
        "NQH24",
    ]


def test_a_better_form_of_a_symbol_is_found_when_it_is_listed(server: YahooServer, ours: Side) -> None:
    future, contract = Asset("ESH24", "future"), "ESH24.CME"

    def tried(time: str) -> set[str]:
        at(server, time)
        before = len(server.requests)
        found.append(closes(ours, server, future, end="2024-01-20"))
        return {path.rsplit("/", 1)[-1] for path in asked_since(server, before) if "chart" in path}

    found: list[list[float]] = []
    assert contract in tried("2024-02-02 18:00")
    sessions = new_york_days("2023-10-02", "2024-06-28")
    server.instruments[contract] = Instrument(walk(sessions, 8), kind="FUTURE", market="us24_market")
    assert tried("2024-03-02 18:00") == set()  # nothing is out of date yet
    assert contract in tried("2024-03-04 19:00")
    assert found[0] == found[1] != found[2]
    fresh = closes(both_sides(ours.folder / "fresh")[1], server, future, end="2024-01-20")
    assert found[2] == fresh


def test_a_form_that_is_known_to_have_bars_serves_while_others_cannot_be_requested(
    server: YahooServer, ours: Side, caplog: pytest.LogCaptureFixture
) -> None:
    future = Asset("ESH24", "future")
    first = closes(ours, server, future, end="2024-01-20")
    at(server, "2024-03-04 19:00")
    server.faults.append(Fault("", 10_000, Answer(b"", 500)))
    assert closes(ours, server, future, end="2024-01-20") == first
    assert "Yahoo may have bars of ESH24 as ESH24.CME by now" in caplog.text


def test_an_unknown_symbol_is_requested_once_a_day(
    server: YahooServer, ours: Side, caplog: pytest.LogCaptureFixture
) -> None:
    server.now = None
    with ours.entered(server), caplog.at_level(logging.ERROR):
        made = source(ours)
        assert made.get_historical_prices("NOSUCH", 5, "day") is None
        before = len(server.requests)
        assert made.get_historical_prices("NOSUCH", 5, "day") is None
        assert made.get_last_price(Asset("NOSUCH")) is None
    assert caplog.text.count("Yahoo has no day bars of NOSUCH") == 1
    assert closes(ours, server, "NOSUCH") == []
    assert asked_since(server, before) == []


def test_a_backtest_on_what_is_stored_needs_no_network(server: YahooServer, ours: Side) -> None:
    first = closes(ours, server)
    server.faults.append(Fault("", 10_000, Answer(b"", 500)))
    assert closes(ours, server, end="2024-02-01") == first


@pytest.mark.parametrize("late", [True, False], ids=["the rest comes later", "there is no more"])
@pytest.mark.parametrize("missing", ["the end", "the beginning"])
def test_a_partial_history_is_requested_again_until_a_second_one_agrees(
    missing: str, late: bool, server: YahooServer, ours: Side, tmp_path: Path
) -> None:
    stock = server.instruments["STK"]
    whole, ended = stock.daily, moment("2024-01-20")
    stock.daily = whole.loc[:"2024-01-10"] if missing == "the end" else whole.loc["2023-09-01":]  # type: ignore[misc]

    def frame(folder: Side) -> pd.DataFrame:
        with folder.entered(server):
            found = YahooHistory(DuckDBDataStorage(folder.store), YahooProvider(retry_policy=HASTE), "STK")
            found.ensure(ended)
            frame = found.frame()
            assert frame is not None
            return frame.loc[:ended]  # later bars include one that is open, which only the run that requests it sees

    first = frame(ours)
    at(server, "2024-03-02 18:00")
    assert_same_frame(first, frame(ours), "before it has expired")
    assert len(server.charts("STK")) == 1
    at(server, "2024-03-04 18:00")
    if late:
        stock.daily = whole
    again = frame(ours)
    assert len(server.charts("STK")) == 2
    if late:
        fresh = frame(both_sides(tmp_path / "fresh")[1])
        assert_same_frame(fresh, again, "the second response")
        del server.requests[:]
    else:
        assert_same_frame(first, again, "the second response")
    charts = len(server.charts("STK"))
    at(server, "2024-03-04 18:01")
    assert_same_frame(again, frame(ours), "afterwards")
    assert len(server.charts("STK")) == charts


def test_an_unknown_symbol_is_never_known_for_good_not_to_exist(server: YahooServer, ours: Side) -> None:
    requested = 0
    for time, again in (
        ("2024-02-02 18:00", True),
        ("2024-02-03 17:00", False),
        ("2024-02-03 19:00", True),
        ("2024-02-04 20:00", True),
        ("2024-02-04 21:00", False),
    ):
        at(server, time)
        with ours.entered(server), pytest.raises(UnknownSymbolError):
            YahooHistory(DuckDBDataStorage(ours.store), YahooProvider(retry_policy=HASTE), "NOSUCH").ensure(
                moment("2024-01-20")
            )
        before, requested = requested, len(server.asked("NOSUCH"))
        assert (requested > before) is again, time


def test_the_day_that_is_not_over_at_the_time_of_the_server_is_not_stored(server: YahooServer, ours: Side) -> None:
    """One clock decides which bars have closed, also if it is set back."""
    at(server, "2024-02-02 12:00")
    with ours.entered(server):
        seen = history(ours, server).frame()
        assert seen is not None
        assert seen.index[-1].date() == dt.date(2024, 2, 2)
        storage = DuckDBDataStorage(ours.store)
        (info,) = storage.list_series(source="yahoo")
        assert info.last == moment("2024-02-01").timestamp()
        assert info.coverage[-1].end <= moment("2024-02-02").timestamp()


def test_what_is_forgotten_is_requested_again(server: YahooServer, ours: Side) -> None:
    stock = server.instruments["STK"]
    whole = stock.daily
    stock.daily = whole.drop(pd.Timestamp("2023-12-01"))  # Yahoo sometimes lacks a day
    with ours.entered(server):
        before = history(ours, server).frame()
        stock.daily = whole
        assert_same_frame(before, history(ours, server).frame(), "a gap is not requested again")
        storage = DuckDBDataStorage(ours.store)
        (info,) = storage.list_series(source="yahoo")
        start, end = (int(moment(day).timestamp()) for day in ("2023-11-01", "2023-12-31"))
        storage.forget_coverage(info.key, TimeRange(start, end))
        after = history(ours, server).frame()
        assert after is not None
        assert len(after) == len(before) + 1
        assert storage.list_series(source="yahoo")[0].version_id == info.version_id
        charts = len(server.charts("STK"))
        history(ours, server)
        assert len(server.charts("STK")) <= charts + 1  # for the day that is not over


def test_an_outage_is_an_error_and_no_empty_answer(server: YahooServer, ours: Side) -> None:
    server.faults.append(Fault("/chart/", 100, Answer(b"", 500)))
    with ours.entered(server):
        made = source(ours)
        with pytest.raises(ProviderUnavailableError, match="Yahoo"):
            made.get_historical_prices("STK", 5, "day")
        server.faults.clear()
        assert len(made.get_historical_prices("STK", 5, "day").df) == 5


def test_without_info_bars_are_stamped_at_midnight_in_this_backtest(
    server: YahooServer, tmp_path: Path, ours: Side, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Fault("/v7/finance/quote", 100, Answer(b"", 503))
    server.faults.append(outage)
    theirs = both_sides(tmp_path)[0]
    expected = helper_frame(theirs, server, "STK", "1d")
    with ours.entered(server):
        made = history(ours, server)
        assert_same_frame(expected, made.frame(), "midnight")
        assert set(made.frame().index.time) == {dt.time(0)}
        outage.times = 0
        assert set(made.frame().index.time) == {dt.time(0)}
        assert caplog.text.count("the market of") == 1
        asked = len(server.charts())
        assert set(history(ours, server).frame().index.time) == {dt.time(16)}
        quotes = len(server.asked("/v7/finance/quote"))
        assert set(history(ours, server).frame().index.time) == {dt.time(16)}
        assert len(server.asked("/v7/finance/quote")) == quotes
        assert len(server.charts()) <= asked + 2  # for the day that is not over


def quotes_and_stamps(server: YahooServer, ours: Side, time: str) -> tuple[int, set[dt.time]]:
    """Return how often a run at a time requests the market, and how it stamps bars."""
    at(server, time)
    before = len(server.asked("/v7/finance/quote"))
    with ours.entered(server):
        frame = history(ours, server).frame()
    assert frame is not None
    return len(server.asked("/v7/finance/quote")) - before, set(frame.index.time)


MIDNIGHT, CLOSE = {dt.time(0)}, {dt.time(16)}


def test_an_old_market_is_requested_again_with_the_next_bars(server: YahooServer, ours: Side) -> None:
    assert quotes_and_stamps(server, ours, "2024-02-02 18:00") == (1, CLOSE)
    server.instruments["STK"].market = "gb_market"
    assert quotes_and_stamps(server, ours, "2024-02-08 18:00") == (0, CLOSE)
    assert quotes_and_stamps(server, ours, "2024-03-02 18:00") == (0, CLOSE)
    assert quotes_and_stamps(server, ours, "2024-03-05 18:00") == (1, MIDNIGHT)
    assert quotes_and_stamps(server, ours, "2024-03-05 18:01") == (0, MIDNIGHT)
    assert quotes_and_stamps(server, ours, "2024-03-06 18:00") == (0, MIDNIGHT)


def test_a_market_that_yahoo_did_not_name_is_requested_again_after_a_day(server: YahooServer, ours: Side) -> None:
    stock = server.instruments["STK"]
    stock.market = None
    assert quotes_and_stamps(server, ours, "2024-02-02 18:00") == (1, MIDNIGHT)
    stock.market = "us_market"
    assert quotes_and_stamps(server, ours, "2024-02-02 23:00") == (0, MIDNIGHT)
    assert quotes_and_stamps(server, ours, "2024-02-05 23:00") == (1, CLOSE)
    assert quotes_and_stamps(server, ours, "2024-02-06 23:00") == (0, CLOSE)


def test_the_market_known_so_far_is_used_while_yahoo_does_not_answer(
    server: YahooServer, ours: Side, caplog: pytest.LogCaptureFixture
) -> None:
    assert quotes_and_stamps(server, ours, "2024-02-02 18:00") == (1, CLOSE)
    outage = Fault("/v7/finance/quote", 100, Answer(b"", 503))
    server.faults.append(outage)
    assert quotes_and_stamps(server, ours, "2024-03-05 18:00")[1] == CLOSE
    assert "The market known so far is used" in caplog.text
    outage.times = 0
    assert quotes_and_stamps(server, ours, "2024-03-06 18:00") == (1, CLOSE)


def test_an_expired_range_that_cannot_be_requested_again_does_not_end_a_backtest(
    server: YahooServer, ours: Side, caplog: pytest.LogCaptureFixture
) -> None:
    """A month later, the time before the first day is due, but there is no network."""
    first = closes(ours, server, end="2024-01-20")
    at(server, "2024-03-04 18:00")
    outage = Fault("", 10_000, Answer(b"", 500))
    server.faults.append(outage)
    assert closes(ours, server, end="2024-01-20") == first
    assert "have expired, and could not be requested again" in caplog.text
    with pytest.raises(ProviderUnavailableError):  # the days after the stored ones were never requested
        closes(ours, server, end="2024-02-20")
    outage.times = 0
    charts = len(server.charts("STK"))
    assert closes(ours, server, end="2024-01-20") == first
    assert len(server.charts("STK")) == charts + 1


# -- dividends and splits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before_it", "day"), [("2024-03-13", "2024-03-15"), ("2024-04-11", "2024-04-15")])
def test_a_dividend_or_a_split_restates_the_history_as_one(
    server: YahooServer, ours: Side, tmp_path: Path, before_it: str, day: str
) -> None:
    theirs = both_sides(tmp_path)[0]
    at(server, f"{before_it} 20:00")
    with ours.entered(server):
        before = history(ours, server).frame()
        running = history(ours, server)
        at(server, f"{day} 20:00")
        renewed = history(ours, server)
        assert_same_frame(before, running.frame(), "a backtest that began earlier keeps its bars")
    assert_same_frame(helper_frame(theirs, server, "STK", "1d"), renewed.frame(), "as if downloaded for the first time")
    assert renewed.frame()["Adj Close"].iloc[0] != before["Adj Close"].iloc[0]
    charts = len(server.charts("STK"))
    at(server, str(pd.Timestamp(day).date() + dt.timedelta(days=1)) + " 20:00")
    with ours.entered(server):
        history(ours, server)
    assert len(server.charts("STK")) == charts + 1  # the days since, once


def test_dividends_and_splits_are_known_to_the_store(server: YahooServer, ours: Side) -> None:
    at(server, "2024-06-03 20:00")
    with ours.entered(server):
        history(ours, server)
        storage = DuckDBDataStorage(ours.store)
        splits = storage.corporate_actions(AssetKey("STK"), "yahoo", "split")
        dividends = storage.corporate_actions(AssetKey("STK"), "yahoo", "dividend")
    assert splits is not None
    assert dividends is not None
    assert [(a.ex_date, a.split_from, a.split_to) for a in splits.actions] == [(dt.date(2024, 4, 15), 1.0, 4.0)]
    assert [(a.ex_date, a.amount) for a in dividends.actions] == [
        (dt.date(2023, 9, 15), 0.125),
        (dt.date(2024, 3, 15), 0.125),
        (dt.date(2024, 5, 15), 0.5),
    ]


def test_last_digits_that_differ_renew_nothing(server: YahooServer, ours: Side) -> None:
    closes(ours, server)
    stock = server.instruments["STK"]
    stock.daily = stock.daily.assign(close=stock.daily["close"] * (1 + 1e-9))
    at(server, "2024-02-08 18:00")
    closes(ours, server)
    assert len(server.charts("STK")) == 2
    stock.daily = stock.daily.assign(close=stock.daily["close"] * (1 + 1e-4))  # a correction
    at(server, "2024-02-09 18:00")
    closes(ours, server)
    assert len(server.charts("STK")) == 4


def test_history_is_read_as_it_stood(server: YahooServer, ours: Side) -> None:
    at(server, "2024-03-13 20:00")
    with ours.entered(server):
        before = history(ours, server).frame()
        moment_between = (server.moment() + pd.Timedelta(hours=1)).to_pydatetime()
        at(server, "2024-03-18 20:00")
        history(ours, server)
        asked = len(server.requests)
        as_it_stood = history(ours, server, as_of=moment_between)
        closed = len(as_it_stood.frame())
        assert_same_frame(before.iloc[:closed], as_it_stood.frame(), "as of then")
        assert closed >= len(before) - 1
        assert len(server.requests) == asked


# -- one history, downloaded in several steps ------------------------------------------------------------------


def test_bars_that_a_later_download_adds_are_seen(server: YahooServer, ours: Side) -> None:
    """By the object that has counted and shown its bars before."""
    with ours.entered(server):
        found = history(ours, server)
        before = found.frame()
        at(server, "2024-02-08 18:00")
        found.ensure(server.moment().to_pydatetime())
        after = found.frame()
        assert len(found) == len(after) == len(before) + 4
        view = found.view
        assert view is not None
        assert view.facts.rows == len(after)
        assert_same_frame(history(ours, server).frame(), after, "as a new process sees it")


def test_a_history_that_was_restated_between_two_downloads_is_read_anew(server: YahooServer, ours: Side) -> None:
    """As long as nothing was read of the old one."""
    with ours.entered(server):
        fresh, read = (YahooHistory(DuckDBDataStorage(ours.store), YahooProvider(), "STK") for _ in range(2))
        for found in (fresh, read):
            found.ensure(server.moment().to_pydatetime())
        assert len(fresh) == len(read)
        old = read.frame()
        at(server, "2024-03-18 18:00")
        new = history(ours, server).frame()
        assert new["Adj Close"].iloc[0] != old["Adj Close"].iloc[0], "a dividend restates the history"
        at(server, "2024-03-20 18:00")
        fresh.ensure(server.moment().to_pydatetime())
        assert fresh.frame()["Adj Close"].iloc[0] == new["Adj Close"].iloc[0]
        with pytest.raises(HistoryRestatedError):
            read.ensure(server.moment().to_pydatetime())
        assert_same_frame(old, read.frame(), "what has been read stays")


def test_todays_bar_is_seen_once_when_another_process_has_stored_it(server: YahooServer, ours: Side) -> None:
    today = dt.datetime.now(dt.timezone.utc).date()
    server.now = None
    server.instruments["COIN-USD"] = Instrument(
        walk(pd.date_range(end=pd.Timestamp(today), periods=30), 3),
        kind="CRYPTOCURRENCY",
        market="ccc_market",
        zone="UTC",
        hours=("00:00", "24:00"),
    )
    with ours.entered(server):
        found = history(ours, server, "COIN-USD")
        before = found.frame()
        assert len(before) == 30
        storage = DuckDBDataStorage(ours.store)
        assert storage.facts(storage.pin(found.key)).rows == 29
        last = before.iloc[[-1]]
        closed = last.rename(columns=COLUMNS).set_index(pd.DatetimeIndex([pd.Timestamp(today, tz="UTC")]))
        storage.store_ohlcv_data(found.key.asset, closed, SOURCE, "day", adjustment=ADJUSTMENT)
        server.now = pd.Timestamp.now("UTC") + pd.Timedelta(seconds=5)
        found.ensure(server.moment().to_pydatetime())
        assert len(found) == 30
        assert_same_frame(before, found.frame(), "once")


# -- intraday bars ---------------------------------------------------------------------------------------------


def serve_minutes(server: YahooServer, days: list[dt.date]) -> None:
    """Serve the minutes of some recent days. A minute is the same whichever others are served."""
    stock = with_minutes(server.instruments["STK"], 3, recent_days(12))
    assert stock.minutes is not None
    stock.minutes = stock.minutes[np.isin(stock.minutes.index.date, days)]


def recent_days(count: int) -> list[dt.date]:
    today = dt.date.today()
    days = new_york_days(str(today - dt.timedelta(days=30)), str(today - dt.timedelta(days=1)))
    return [day.date() for day in days[-count:]]


def test_minutes_gather_beyond_what_yahoo_keeps(server: YahooServer, ours: Side) -> None:
    days = recent_days(12)
    early, late = days[:4], days[-3:]
    server.now = None
    serve_minutes(server, late)
    with ours.entered(server), pytest.MonkeyPatch.context() as patch:
        first_run = pd.Timestamp(f"{early[-1]} 20:00", tz=NEW_YORK)
        pretend_download(patch, server, early, first_run)
        server.now = None
        found = history(ours, server, timeframe="minute")
        assert sorted(set(found.frame().index.date)) == [*early, *late]
        asked = len(server.charts())
        history(ours, server, timeframe="minute")
        assert len(server.charts()) <= asked + 1


def pretend_download(
    patch: pytest.MonkeyPatch, server: YahooServer, days: list[dt.date], now: pd.Timestamp
) -> pd.DataFrame:
    """Store the minutes that a run some days ago would have downloaded; return its frame."""
    stock, bars, kept = server.instruments["STK"], YahooProvider.bars, server.instruments["STK"].minutes
    serve_minutes(server, days)
    server.now = now.tz_convert("UTC")

    def then(self: YahooProvider, request: BarRequest) -> Any:
        kept_since = int((now - pd.Timedelta(days=7)).timestamp())
        ranges = tuple((kept_since if start <= EARLIEST else start, end) for start, end in request.ranges)
        return bars(self, replace(request, ranges=ranges))

    with patch.context() as some_days_ago:
        some_days_ago.setattr("sources.yahoo.server._KEPT", {})
        some_days_ago.setattr(YahooProvider, "bars", then)
        found = YahooHistory(DuckDBDataStorage(), YahooProvider(retry_policy=HASTE), "STK", "minute")
        found.ensure(now.to_pydatetime())
    stock.minutes = kept
    frame = found.frame()
    assert frame is not None
    return frame


@pytest.mark.parametrize("gap", [1, 7])
def test_a_split_rescales_the_minutes_of_before(server: YahooServer, ours: Side, gap: int) -> None:
    """Whether bars of before and after overlap in what Yahoo still has, or not."""
    days = recent_days(12)
    late = days[-2:]
    early = days[-2 - gap - 2 : -2 - gap + 1]
    stock = server.instruments["STK"]
    stock.daily = walk(new_york_days("2023-01-03", str(dt.date.today())), 1)
    with ours.entered(server), pytest.MonkeyPatch.context() as patch:
        before = pretend_download(patch, server, early, pd.Timestamp(f"{early[-1]} 20:00", tz=NEW_YORK))
        stock.splits = {late[0]: (4.0, 1.0)}
        serve_minutes(server, [*early, *late])
        server.now = None
        running = YahooHistory(DuckDBDataStorage(ours.store), YahooProvider(retry_policy=HASTE), "STK", "minute")
        view = running.view
        assert view is not None
        after = history(ours, server, timeframe="minute").frame()
        assert after is not None
        count = len(before)
        for name in ("Open", "High", "Low", "Close", "Adj Close"):
            assert np.array_equal(after[name].to_numpy()[:count], before[name].to_numpy() / 4), name
        assert np.array_equal(after["Volume"].to_numpy()[:count], before["Volume"].to_numpy() * 4)
        assert after["Volume"].dtype == before["Volume"].dtype
        assert sorted(set(after.index.date))[-2:] == late
        assert_same_frame(before, running.frame(), "a backtest that began earlier keeps its bars")
        again = history(ours, server, timeframe="minute").frame()
        assert_same_frame(after.iloc[:count], again.iloc[:count], "rescaled once")


def test_minutes_that_yahoo_still_has_after_a_split_are_yahoos_own(
    server: YahooServer, ours: Side, tmp_path: Path
) -> None:
    """A third of a price is rounded in one way by Yahoo, and in another when stored prices are divided by three."""
    days = recent_days(9)
    early, late = days[:-1], days[-1:]
    stock = server.instruments["STK"]
    stock.daily = walk(new_york_days("2023-01-03", str(dt.date.today())), 1)
    with ours.entered(server), pytest.MonkeyPatch.context() as patch:
        before = pretend_download(patch, server, early, pd.Timestamp(f"{early[-1]} 20:00", tz=NEW_YORK))
        stock.splits = {late[0]: (3.0, 1.0)}
        serve_minutes(server, days)
        server.now = None
        after, again = (history(ours, server, timeframe="minute").frame() for _ in range(2))
    assert after is not None
    assert_same_frame(after, again, "rescaled once")
    # A minute may pass between the two requests, and the oldest minute with it.
    yahoos = helper_frame(both_sides(tmp_path)[0], server, "STK", "1m").iloc[1:]
    assert_same_frame(yahoos, after[list(yahoos)].iloc[-len(yahoos) :], "those that Yahoo still has")
    older = len(after) - len(yahoos) - 2
    closes, thirds = after["Close"].to_numpy()[: len(before)], before["Close"].to_numpy() / 3
    assert np.array_equal(closes[:older], thirds[:older])
    assert older > 0
    assert not np.array_equal(closes[older:], thirds[older:]), "Yahoo rounds otherwise"
    assert np.allclose(closes[older:], thirds[older:], rtol=1e-15)


# -- the class -------------------------------------------------------------------------------------------------


def test_it_takes_the_place_of_lumibots_classes() -> None:
    assert issubclass(YahooDataBacktesting, LumibotYahooDataBacktesting)
    assert issubclass(YahooDataBacktesting, YahooData)
    assert issubclass(YahooData, LumibotYahooData)
    assert YahooDataBacktesting == LumibotYahooDataBacktesting
    assert YahooData == LumibotYahooData
    assert YahooDataBacktesting.using("x.duckdb").__name__ == "YahooDataBacktesting"
    assert YahooDataBacktesting.using("x.duckdb") == LumibotYahooDataBacktesting


def test_yahoo_data_has_lumibots_default_span(tmp_path: Path) -> None:
    made = YahooData(storage=tmp_path / "bars.duckdb")
    assert (made.datetime_end - made.datetime_start).days in (364, 365)
    assert not made.auto_adjust
    assert not (tmp_path / "bars.duckdb").exists()


def test_options_are_refused(server: YahooServer, ours: Side) -> None:
    with ours.entered(server):
        with pytest.raises(NotImplementedError):
            source(ours).get_chains(Asset("STK"))
        with pytest.raises(NotImplementedError):
            source(ours).get_strikes(Asset("STK"))


def test_one_symbol_from_two_sources_is_never_mixed(server: YahooServer, ours: Side) -> None:
    other = walk(DAYS.tz_localize(NEW_YORK), 99, price=7.0)
    with ours.entered(server):
        storage = DuckDBDataStorage(ours.store)
        storage.store_ohlcv_data("STK", other, "own", "day")
        made = source(ours)
        mine = PandasDataBacktesting.using(storage, source="own", assets=["STK"], timestep="day")(
            moment("2023-06-01"), moment("2024-03-01"), show_progress_bar=False
        )
        mine.load_data()
        mine._datetime = made._datetime
        theirs = made.get_historical_prices("STK", 5, "day").df
        own = mine.get_historical_prices(Asset("STK"), 5, "day").df
        assert theirs["close"].min() > 20 > own["close"].max()
        sources = storage.sql("SELECT DISTINCT source FROM ohlcv_data WHERE asset_symbol = 'STK' ORDER BY 1")
        assert sources.column(0).to_pylist() == ["own", "yahoo:split"]


def test_unknown_symbols_and_errors_of_a_history(server: YahooServer, ours: Side) -> None:
    with ours.entered(server):
        with pytest.raises(UnknownSymbolError, match="NOSUCH"):
            history(ours, server, "NOSUCH")
        server.faults.append(Fault("/chart/", 100, Answer(b"", 500)))
        with pytest.raises(ProviderError):
            history(ours, server)


@pytest.mark.parametrize(("symbol", "interval"), [("STK", "1d"), ("FUND", "1d"), ("^GSPC", "1d"), ("GAPS", "1d")])
def test_a_history_is_what_lumibots_helper_gives(
    server: YahooServer, ours: Side, tmp_path: Path, symbol: str, interval: str
) -> None:
    expected = helper_frame(both_sides(tmp_path)[0], server, symbol, interval)
    with ours.entered(server):
        first, second = (history(ours, server, symbol).frame() for _ in range(2))
    assert_same_frame(expected, first, symbol)
    assert_same_frame(expected, second, symbol)
