"""The requests of our Alpaca source, by the server's log, and its handling of refusals and changed prices."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytz
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import AlpacaBacktesting
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.sources.shared import listings
from lumibot_duckdb.sources.shared.errors import DownloadIncompleteError, InvalidKeyError, PlanLimitError
from lumibot_duckdb.storage.errors import HistoryRestatedError
from parity.ground import silence
from sources.alpaca.server import KEY, SECRET, TOKEN, Action, AlpacaServer, Contract
from sources.alpaca.sides import CONFIG, Side
from sources.conftest import LetPass
from wire.loopback import Answer, Fault, Request

NEW_YORK = pytz.timezone("America/New_York")
SPY, OLD = Asset("SPY"), Asset("OLD")
FIRST, END = dt.date(2024, 2, 26), dt.date(2024, 3, 23)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    frame = us_stock_bars("SPY", FIRST, END)
    prices = frame[["open", "high", "low", "close"]]
    return frame.assign(high=prices.max(axis=1), low=prices.min(axis=1))


@pytest.fixture
def server(bars: pd.DataFrame) -> Iterator[AlpacaServer]:
    with AlpacaServer() as server:
        for symbol in ("SPY", "OLD"):
            server.serve("stock", symbol, bars)
        yield server


@contextmanager
def source(
    folder: Path, server: AlpacaServer, first: int, last: int, *, source_class: Any = AlpacaBacktesting, **settings: Any
) -> Iterator[Any]:
    """Enter our side with a source over days of March 2024, its clock at eleven on the last."""
    side = Side(source_class, folder)
    with side.entered(server), silence():
        start, end = (NEW_YORK.localize(dt.datetime(2024, 3, day)) for day in (first, last))
        made = side.source(start, end, **{"timestep": "minute", "full_window": True, **settings})
        made._datetime = end + dt.timedelta(hours=11)
        yield made
        made.shutdown()


def ranges(asked: list[Request]) -> list[tuple[str, str]]:
    return sorted((request.query["start"][:10], request.query["end"][:10]) for request in asked)


def new(server: AlpacaServer, where: str = "stocks") -> list[Request]:
    """Return the requests since the last call."""
    found = server.asked(where)
    server.requests.clear()
    return found


# -- bars -----------------------------------------------------------------------------------------------------


def test_nothing_is_requested_twice_and_another_window_requests_just_the_rest(
    tmp_path: Path, server: AlpacaServer
) -> None:
    with source(tmp_path, server, 4, 8) as first:
        first.get_historical_prices(SPY, 60)
        first.get_last_price(SPY)
    assert ranges(new(server)) == [("2024-03-04", "2024-03-10")]
    with source(tmp_path, server, 4, 8) as again:
        again.get_historical_prices(SPY, 60, "minute")
    assert new(server, "") == []
    with source(tmp_path, server, 1, 13, market="24/7") as longer:
        longer.get_historical_prices(SPY, 60)
    assert ranges(new(server)) == [("2024-03-01", "2024-03-04"), ("2024-03-10", "2024-03-15")]


@pytest.mark.parametrize("late", [True, False], ids=["the rest comes later", "there is no more"])
def test_a_partial_response_is_requested_again_until_a_second_one_agrees(
    late: bool, tmp_path: Path, server: AlpacaServer, bars: pd.DataFrame, let_pass: LetPass
) -> None:
    """Of a week, Alpaca has bars until Monday at noon."""
    server.serve("stock", "SPY", bars.loc[:"2024-03-04 12:00"])  # type: ignore[misc]

    def week(folder: Path = tmp_path) -> pd.DataFrame:
        with source(folder, server, 4, 8) as made:
            frame: pd.DataFrame = made.get_historical_prices(SPY, 1_500).df
            return frame

    first = week()
    new(server)
    for days in (0, 29):
        let_pass(days)
        pd.testing.assert_frame_equal(week(), first)
    assert new(server) == []
    let_pass(31)
    if late:
        server.serve("stock", "SPY", bars)
    again = week()
    (request,) = new(server)
    assert (request.query["start"][:16], request.query["end"][:16]) == ("2024-03-04T17:01", "2024-03-08T20:59")
    pd.testing.assert_frame_equal(week(tmp_path / "fresh"), again)
    new(server)
    let_pass(4_000)
    pd.testing.assert_frame_equal(week(), again)
    assert new(server) == []


def test_bars_before_the_start_come_from_the_store_or_once(tmp_path: Path, server: AlpacaServer) -> None:
    for asked in ([("2024-03-11", "2024-03-17"), ("2024-03-01", "2024-03-11")], []):
        with source(tmp_path, server, 11, 15, history_before_start=True) as made:
            made._datetime = NEW_YORK.localize(dt.datetime(2024, 3, 11, 9, 45))
            for _ in range(3):
                assert len(made.get_historical_prices(SPY, 800, "minute").df) == 800
        assert ranges(new(server)) == sorted(asked)


def test_stored_bars_need_no_network(tmp_path: Path, server: AlpacaServer) -> None:
    with source(tmp_path, server, 4, 8) as made:
        expected = made.get_historical_prices(SPY, 60).df
    gone = AlpacaServer()
    with source(tmp_path, gone, 4, 8, config={"API_KEY": "another", "API_SECRET": "account"}) as made:
        pd.testing.assert_frame_equal(made.get_historical_prices(SPY, 60).df, expected)


def test_an_unknown_symbol_is_requested_once(tmp_path: Path, server: AlpacaServer) -> None:
    for asked in (1, 0):
        with source(tmp_path, server, 4, 8) as made:
            for _ in range(3):
                with pytest.raises(RuntimeError, match="No data fetched"):
                    made.get_historical_prices(Asset("NOTHERE"), 1)
        assert len(new(server)) == asked


def test_an_option_that_never_traded_is_requested_once(tmp_path: Path, server: AlpacaServer) -> None:
    option = Asset("SPY", "option", expiration=dt.date(2024, 3, 15), strike=500, right="CALL")
    for asked in (1, 0):
        with source(tmp_path, server, 4, 8) as made:
            assert made.get_last_price(option) is None
            assert made.get_historical_prices(option, 5) is None
        assert len(new(server, "options")) == asked


def test_the_latest_sixteen_minutes_are_not_requested(tmp_path: Path, server: AlpacaServer) -> None:
    now = pd.Timestamp.now(tz="UTC").floor("min")
    server.serve("stock", "SPY", _minutes_until(now))
    side = Side(AlpacaBacktesting, tmp_path)
    today = NEW_YORK.localize(dt.datetime.combine(now.tz_convert(NEW_YORK).date(), dt.time()))
    for _ in range(2):
        with side.entered(server), silence():
            made = side.source(today - dt.timedelta(days=3), today, timestep="minute", full_window=True, market="24/7")
            assert made.get_historical_prices_between_dates(base_asset=SPY)["volume"].sum() > 0
            made.shutdown()
    last = max(pd.Timestamp(request.query["end"]) for request in new(server))
    assert pd.Timedelta(minutes=15.9) < pd.Timestamp.now(tz="UTC") - last < pd.Timedelta(minutes=20)


def _minutes_until(end: pd.Timestamp) -> pd.DataFrame:
    index = pd.date_range(end=end, periods=3000, freq="min", name="datetime")
    return pd.DataFrame({"open": 1.0, "high": 2.0, "low": 1.0, "close": 1.5, "volume": 100}, index=index)


def test_refresh_asks_once_more_and_changes_what_differs(
    tmp_path: Path, server: AlpacaServer, bars: pd.DataFrame
) -> None:
    with source(tmp_path, server, 4, 8) as made:
        made.get_last_price(SPY)
        version = made._downloads.series.popitem()[1].pin.version_id
    new(server)
    with source(tmp_path, server, 4, 8, refresh_cache=True) as made:
        for _ in range(3):
            made.get_last_price(SPY)
        assert made._downloads.series.popitem()[1].pin.version_id == version, "nothing had changed"
    assert len(new(server)) == 1
    server.serve("stock", "SPY", bars * 2)
    with source(tmp_path, server, 4, 8, refresh_cache=True) as made:
        price = made.get_last_price(SPY)
    with source(tmp_path, server, 4, 8) as made:
        assert made.get_last_price(SPY) == price == bars["open"].loc["2024-03-08 11:00"] * 2


def test_as_of_reads_history_as_it_was_and_asks_for_nothing(
    tmp_path: Path, server: AlpacaServer, bars: pd.DataFrame
) -> None:
    with source(tmp_path, server, 4, 8) as made:
        before = made.get_last_price(SPY)
    moment = dt.datetime.now(dt.timezone.utc)
    server.serve("stock", "SPY", bars * 2)
    with source(tmp_path, server, 4, 8, refresh_cache=True) as made:
        assert made.get_last_price(SPY) != before
    new(server, "")
    past = AlpacaBacktesting.using(as_of=moment)
    with source(tmp_path, server, 4, 12, source_class=past, refresh_cache=True) as made:
        made._datetime = NEW_YORK.localize(dt.datetime(2024, 3, 8, 11))
        assert made.get_last_price(SPY) == before
        assert made.get_chains(SPY)["Chains"] == {"CALL": {}, "PUT": {}}
    assert new(server, "") == []


def test_without_the_store_it_is_lumibots_class_with_its_files(tmp_path: Path, server: AlpacaServer) -> None:
    with source(tmp_path, server, 4, 8, use_duckdb=False) as made:
        ours = made.get_historical_prices(SPY, 60).df
    assert list((tmp_path / "lumibot" / "alpaca").glob("SPY*.csv"))
    assert not Side(AlpacaBacktesting, tmp_path).store.exists()
    with source(tmp_path / "theirs", server, 4, 8, source_class=LumibotAlpacaBacktesting) as theirs:
        pd.testing.assert_frame_equal(theirs.get_historical_prices(SPY, 60).df, ours)


def test_bars_that_cannot_be_are_refused_as_lumibot_does(
    tmp_path: Path, server: AlpacaServer, bars: pd.DataFrame
) -> None:
    server.serve("stock", "SPY", bars.assign(high=bars["low"] - 1))
    for source_class in (LumibotAlpacaBacktesting, AlpacaBacktesting):
        with (
            source(tmp_path / source_class.__module__, server, 4, 8, source_class=source_class) as made,
            pytest.raises(RuntimeError, match="invalid OHLCV"),
        ):
            made.get_last_price(SPY)


# -- adjusted prices ------------------------------------------------------------------------------------------


def test_a_dividend_restates_the_history_that_is_adjusted_for_it(tmp_path: Path, server: AlpacaServer) -> None:
    """Bars were stored before the ex-date, as the store has it; more are needed after it."""
    today = pd.Timestamp.now(tz=NEW_YORK).date().isoformat()
    for adjusted in (True, False):
        with source(tmp_path, server, 4, 8, auto_adjust=adjusted) as made:
            made.get_last_price(SPY)
    assert not server.asked("corporate"), "there was nothing to compare with"
    server.actions.append(Action("SPY", today, amount=2.0))
    new(server)
    with source(tmp_path, server, 4, 8) as made:
        old = made.get_last_price(SPY)
    assert new(server, "") == [], "nothing had to be downloaded"
    with source(tmp_path, server, 4, 13) as made:
        made._datetime = NEW_YORK.localize(dt.datetime(2024, 3, 8, 11))
        assert made.get_last_price(SPY) < old
        made.get_historical_prices(SPY, 3, "day")
    assert ranges(server.asked("stocks"))[0] == ("2024-03-04", "2024-03-15"), "all of it anew"
    assert len(new(server, "corporate")) == 2
    with source(tmp_path, server, 4, 14, auto_adjust=False) as made:
        made.get_last_price(SPY)
    assert ranges(new(server, "")) == [("2024-03-10", "2024-03-16")], "a dividend changes no split-adjusted price"


def test_a_split_restates_both(tmp_path: Path, server: AlpacaServer) -> None:
    for adjusted in (True, False):
        with source(tmp_path, server, 4, 8, auto_adjust=adjusted) as made:
            made.get_last_price(SPY)
    server.actions.append(Action("SPY", pd.Timestamp.now(tz=NEW_YORK).date().isoformat(), 1, 4))
    new(server)
    for adjusted in (True, False):
        with source(tmp_path, server, 4, 13, auto_adjust=adjusted) as made:
            made.get_last_price(SPY)
        assert ranges(new(server)) == [("2024-03-04", "2024-03-15")]


def test_old_actions_and_those_to_come_renew_nothing(tmp_path: Path, server: AlpacaServer) -> None:
    server.actions += [Action("SPY", "2024-03-06", 1, 4), Action("SPY", "2099-01-01", amount=1.0)]
    for day, asked in ((8, ("2024-03-04", "2024-03-10")), (13, ("2024-03-10", "2024-03-15"))):
        with source(tmp_path, server, 4, day) as made:
            made.get_last_price(SPY)
        assert ranges(new(server)) == [asked]


def test_a_backtest_that_has_read_the_old_history_is_not_given_the_new_one(
    tmp_path: Path, server: AlpacaServer
) -> None:
    with source(tmp_path, server, 4, 8) as made:
        made.get_last_price(SPY)
    server.actions.append(Action("SPY", pd.Timestamp.now(tz=NEW_YORK).date().isoformat(), 1, 4))
    with source(tmp_path, server, 4, 8) as made:
        price = made.get_last_price(SPY)
        with pytest.raises(HistoryRestatedError, match="run it again"):
            made.get_historical_prices(SPY, 5, "day")
        assert made.get_last_price(SPY) == price
    with source(tmp_path, server, 4, 8) as made:
        assert made.get_last_price(SPY) == pytest.approx(price / 4)
        made.get_historical_prices(SPY, 5, "day")


def test_a_plan_without_corporate_actions_continues_with_a_warning(
    tmp_path: Path, server: AlpacaServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.entitled = False
    with source(tmp_path, server, 4, 8) as made:
        made.get_last_price(SPY)
    new(server, "")
    with source(tmp_path, server, 4, 13) as made:
        logging.disable(logging.NOTSET)
        made.get_last_price(SPY)
    assert ranges(new(server)) == [("2024-03-10", "2024-03-15")]
    assert "splits and dividends of SPY could not be checked" in caplog.text


# -- refusals and faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [{"API_KEY": "WRONGKEY", "API_SECRET": SECRET}, {"OAUTH_TOKEN": "WRONGTOKEN"}])
def test_a_wrong_key_is_reported_without_showing_it(
    config: dict[str, str], tmp_path: Path, server: AlpacaServer, caplog: pytest.LogCaptureFixture
) -> None:
    with source(tmp_path, server, 4, 8, config=config) as made:
        logging.disable(logging.NOTSET)
        with pytest.raises(InvalidKeyError) as refused:
            made.get_last_price(SPY)
    told = f"{refused.value} {refused.value.__cause__} {refused.value.__context__} {caplog.text}"
    assert not any(secret in told for secret in (*config.values(), KEY))


def test_a_token_serves_as_well(tmp_path: Path, server: AlpacaServer) -> None:
    with source(tmp_path, server, 4, 8, config={"OAUTH_TOKEN": TOKEN}) as made:
        assert made.get_last_price(SPY) > 0


def test_what_fails_is_named_and_the_rest_is_kept(tmp_path: Path, server: AlpacaServer) -> None:
    server.faults.append(Fault(where="stocks", times=1, answer=Answer({"message": "not so"}, 422)))
    with source(tmp_path, server, 1, 21) as made, pytest.raises(RuntimeError, match="not so"):
        made.get_last_price(SPY)
    assert len(new(server)) == 2
    with source(tmp_path, server, 1, 21) as made:
        made.get_last_price(SPY)
    assert len(new(server)) == 1


def test_passing_faults_are_tried_again(tmp_path: Path, server: AlpacaServer) -> None:
    broken = [Fault(where="stocks", drop=True), Fault(where="stocks", answer=Answer(b"<html>", 200))]
    waits = Fault(where="stocks", answer=Answer({"message": "too many requests."}, 429, {"Retry-After": "0.1"}))
    server.faults += [*broken, waits]
    with source(tmp_path, server, 4, 8) as made:
        assert made.get_last_price(SPY) > 0
    assert len(new(server)) == 4


def test_an_outage_ends_with_an_error_that_names_it(
    tmp_path: Path, server: AlpacaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lumibot_duckdb.sources.alpaca import client as alpaca
    from lumibot_duckdb.sources.retry_policy import RetryPolicy

    monkeypatch.setattr(alpaca, "RetryPolicy", lambda: RetryPolicy(fault_pause=0.01))
    server.faults.append(Fault(where="stocks", times=99, answer=Answer({}, 503)))
    with source(tmp_path, server, 4, 8) as made, pytest.raises(DownloadIncompleteError, match="5 times in a row"):
        made.get_last_price(SPY)


def test_data_that_the_plan_does_not_have(tmp_path: Path, server: AlpacaServer) -> None:
    message = "subscription does not permit querying recent SIP data"
    server.faults.append(Fault(where="stocks", answer=Answer({"message": message}, 403)))
    with source(tmp_path, server, 4, 8) as made, pytest.raises(PlanLimitError, match="recent SIP"):
        made.get_last_price(SPY)


def test_no_secret_is_in_the_store(tmp_path: Path, server: AlpacaServer) -> None:
    with source(tmp_path, server, 4, 8) as made:
        made.get_last_price(SPY)
        made.get_chains(SPY)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in stored
    assert SECRET.encode() not in stored


# -- chains ---------------------------------------------------------------------------------------------------


def contract(expiration: str, strike: float, **settings: Any) -> Contract:
    return Contract(f"SPY{expiration}{strike}", "SPY", expiration, "call", strike, **settings)


def test_a_chain_is_listed_once_for_many_days_and_backtests(tmp_path: Path, server: AlpacaServer) -> None:
    server.accounts = ("live",)
    server.page_limit = 2
    server.contracts += [contract("2024-03-15", strike) for strike in (500.0, 510.0, 505.0)]
    server.contracts += [contract("2024-03-15", 1.0, size=10), contract("2024-03-15", 2.0, root="SPY1")]
    for first in (True, False):
        with source(tmp_path, server, 4, 20) as made:
            for day in (5, 6, 7, 14):
                made._datetime = NEW_YORK.localize(dt.datetime(2024, 3, day, 10))
                chain = made.get_chains(SPY)
                assert chain["Chains"]["CALL"] == {"2024-03-15": [500.0, 505.0, 510.0]}
        asked = new(server, "contracts")
        assert bool(asked) == first
        assert sum(request.path.startswith("/paper") for request in asked) <= 1


def test_contracts_that_had_not_expired_are_listed_again_some_days_later(
    tmp_path: Path, server: AlpacaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = dt.date.today()
    server.contracts.append(contract((today + dt.timedelta(days=20)).isoformat(), 500.0))

    def asked(source_class: Any = AlpacaBacktesting) -> int:
        side = Side(source_class, tmp_path)
        now = NEW_YORK.localize(dt.datetime.combine(today, dt.time()))
        with side.entered(server), silence():
            made = side.source(now - dt.timedelta(days=9), now, full_window=True)
            made._datetime = now - dt.timedelta(days=3)
            assert len(made.get_chains(SPY)["Chains"]["CALL"]) == 1
            made.shutdown()
        return len(new(server, "contracts"))

    assert [asked(), asked()] == [2, 0]
    monkeypatch.setattr(listings, "VALID_FOR", dt.timedelta(days=-1))
    assert asked() == 2
    server.faults.append(Fault("contracts", 10_000, Answer(b"", 400)))
    assert asked() > 0  # and the old list serves
    assert asked(AlpacaBacktesting.using(as_of=dt.datetime.now(dt.timezone.utc))) == 0


# -- one store ------------------------------------------------------------------------------------------------


def test_raw_bars_are_stored_whole_with_their_extended_hours(
    tmp_path: Path, server: AlpacaServer, bars: pd.DataFrame
) -> None:
    with source(tmp_path, server, 4, 8) as made:
        made.get_last_price(SPY)
    stored = DuckDBDataStorage(Side(AlpacaBacktesting, tmp_path).store).get_historical_prices("SPY", source="alpaca")
    expected = bars.loc["2024-03-04":"2024-03-09"]
    assert list(stored.columns) == ["open", "high", "low", "close", "volume", "trade_count", "vwap"]
    assert len(stored) == len(expected) > 4000
    assert (stored["close"].to_numpy() == expected["close"].to_numpy()).all()


def test_alpacas_class_is_lumibots_where_lumibot_asks() -> None:
    made: Any = AlpacaBacktesting.using(max_memory=1_000_000)
    assert made == LumibotAlpacaBacktesting
    assert made.__name__ == "AlpacaBacktesting"
    assert CONFIG["PAPER"]


# -- bars that have not closed --------------------------------------------------------------------------------


def test_todays_bar_is_seen_once_when_another_process_has_stored_it(tmp_path: Path) -> None:
    coin, dollar = Asset("BTC", "crypto"), Asset("USD", "forex")
    index = pd.date_range(end=pd.Timestamp.now("UTC").floor("h"), periods=60 * 24, freq="h").as_unit("ns")
    close = pd.Series(range(1_000, 1_000 + len(index)), index=index, dtype="float64")
    bars = pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 7.0})
    side = Side(AlpacaBacktesting, tmp_path)
    with AlpacaServer() as server, side.entered(server), silence():
        server.serve("crypto", "BTC/USD", bars)
        today = NEW_YORK.localize(dt.datetime.combine(pd.Timestamp.now(NEW_YORK).date(), dt.time()))
        settings = {"timestep": "day", "market": "24/7", "full_window": True, "history_before_start": True}
        made = side.source(today - dt.timedelta(days=3), today, **settings)
        made._datetime = today + dt.timedelta(hours=23)

        def days() -> pd.DataFrame:
            return made.get_historical_prices_between_dates(base_asset=coin, quote_asset=dollar, timestep="day")

        before = days()
        storage = DuckDBDataStorage(side.store)
        (info,) = storage.list_series()
        stored = storage.read_pandas(storage.pin(info.key))
        open_days = before.index[before.index > stored.index[-1]]
        assert len(open_days), "today's bar is open"
        closed = stored.iloc[[-1] * len(open_days)].set_axis(open_days).assign(close=7.0)
        storage.store_ohlcv_data(info.key.asset, closed, info.key.source, "day", adjustment=info.key.adjustment)
        made.get_historical_prices(coin, 20, "day", quote=dollar)
        after = days()
        made.shutdown()
    assert len(after) > len(before), "history before the window was downloaded"
    assert after.index.is_unique
    assert after.index[-1] == before.index[-1]
    assert (after["close"].loc[open_days] == 7.0).all()
    kept = before.index[: -len(open_days)]
    assert after.loc[kept, "close"].tolist() == before.loc[kept, "close"].tolist()
