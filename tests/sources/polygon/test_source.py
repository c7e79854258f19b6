"""The requests of our Polygon source, and those that it does not send, by the loopback server's log."""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.entities import Asset

from faults.workers import start
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.errors import HistoryRestatedError
from parity.backtests import assert_same_result
from parity.ground import silence
from parity.harness import ask, assert_same_answer, assert_same_frame
from parity.strategies import Crossing
from processes import FORKED
from sources import source_workers as workers
from sources.conftest import LetPass
from sources.polygon.market import PolygonMarket, at_price, autumn, in_session, list_options
from sources.polygon.server import KEY, Contract, PolygonServer, Split
from sources.polygon.sides import Side, both_sides, our_class
from sources.polygon.test_parity_requests import answers as answers_of
from sources.polygon.test_parity_requests import requests
from sources.store_workers import halve, make_checks_old
from wire.loopback import Answer, Fault, Request

NEW_YORK = "America/New_York"
SYMBOLS = ("AAA", "BBB")
SPAN = ("2023-03-06", "2023-03-11")
EXPIRATION = dt.date(2023, 3, 17)
OPTION = Asset("AAA", "option", expiration=EXPIRATION, strike=100.0, right="CALL")
OPTION_TICKER = "O:AAA230317C00100000"
SPLITS = "/v3/reference/splits"
AGGREGATES = "/v2/aggs"
CONTRACTS = "/v3/reference/options/contracts"


def moment(text: str) -> dt.datetime:
    return pd.Timestamp(text, tz=NEW_YORK).to_pydatetime()


@pytest.fixture(scope="module")
def market() -> PolygonMarket:
    market = PolygonMarket(*map(moment, SPAN))
    for symbol in SYMBOLS:
        bars = us_stock_bars(symbol, dt.date(2022, 11, 1), dt.date(2023, 4, 1))
        market.bars[symbol, "minute"] = at_price(in_session(bars), 100.0)
    expirations = [dt.date(2023, 2, 10), dt.date(2023, 2, 24), EXPIRATION]
    list_options(market, "AAA", expirations, [30.0, 95.0, 100.0, 105.0], often=0.2)
    return market


@pytest.fixture
def server(market: PolygonMarket) -> Iterator[PolygonServer]:
    with market.served() as server:
        yield server


@pytest.fixture
def ours(tmp_path: Path) -> Side:
    return Side(our_class(), tmp_path / "ours")


def backtest(server: PolygonServer, folder: Path, span: tuple[str, str] = SPAN, **settings: Any) -> Any:
    return workers.backtest(server.url, folder, span, SYMBOLS, **settings)


def minutes_of(side: Side, server: PolygonServer, span: tuple[str, str], length: int, asset: Any = "AAA") -> Any:
    """Request minutes from a new source at the end of a span."""
    with side.entered(server):
        source = side.source(*map(moment, span))
        source._datetime = moment(span[1]) - dt.timedelta(hours=10)
        bars = source.get_historical_prices(asset if isinstance(asset, Asset) else Asset(asset), length, "minute")
        return None if bars is None else bars.df.copy()


def days_of(request: Request) -> set[dt.date]:
    """Return the days that a request for aggregates is for."""
    first, last = (
        pd.Timestamp(int(text), unit="ms", tz="UTC").tz_convert(NEW_YORK).date()
        if text.isdigit()
        else dt.date.fromisoformat(text)
        for text in request.path.split("/")[-2:]
    )
    return {first + dt.timedelta(days=number) for number in range((last - first).days + 1)}


def asked_days(server: PolygonServer, symbol: str) -> set[dt.date]:
    return set().union(*(days_of(request) for request in server.asked(f"{AGGREGATES}/ticker/{symbol}/")))


def outside(work: Callable[[Path], None], side: Side) -> None:
    """Do something to a store in another process."""
    process = FORKED.Process(target=work, args=(side.store,))
    process.start()
    process.join(120)
    assert process.exitcode == 0


def versions(side: Side) -> dict[str, int]:
    storage = DuckDBDataStorage(side.store)
    found = {f"{info.key.asset} {info.key.timeframe}": info.version_id for info in storage.list_series()}
    storage.close()
    return found


# -- asked once -----------------------------------------------------------------------------------------------


def test_a_second_run_asks_for_nothing_but_the_daily_split_check(server: PolygonServer, ours: Side) -> None:
    first = backtest(server, ours.folder)
    assert server.asked(AGGREGATES)
    server.requests.clear()
    assert_same_result(first, backtest(server, ours.folder, run_folder="second"))
    assert server.asked(AGGREGATES) == []
    assert len(server.asked(SPLITS)) == len(server.requests) <= len(SYMBOLS)
    server.requests.clear()
    assert_same_result(first, backtest(server, ours.folder, run_folder="third"))
    assert server.requests == []


def test_splits_are_requested_again_on_another_day(server: PolygonServer, ours: Side) -> None:
    first = backtest(server, ours.folder)
    backtest(server, ours.folder, run_folder="second")
    outside(make_checks_old, ours)
    server.requests.clear()
    assert_same_result(first, backtest(server, ours.folder, run_folder="third"))
    assert sorted(request.query["ticker"] for request in server.requests) == list(SYMBOLS)
    assert len(server.asked(SPLITS)) == len(SYMBOLS)


@pytest.mark.parametrize(
    "span",
    [
        pytest.param(("2023-02-13", "2023-03-11"), id="before", marks=pytest.mark.long),
        pytest.param(("2023-03-06", "2023-03-22"), id="after"),
    ],
)
def test_a_longer_run_requests_only_what_is_new(
    span: tuple[str, str], server: PolygonServer, ours: Side, tmp_path: Path
) -> None:
    backtest(server, ours.folder)
    known = {symbol: asked_days(server, symbol) for symbol in SYMBOLS}
    server.requests.clear()
    longer = backtest(server, ours.folder, span, run_folder="longer")
    for symbol in SYMBOLS:
        new = asked_days(server, symbol)
        assert new
        assert not new & known[symbol]
    assert_same_result(longer, backtest(server, tmp_path / "alone", span))


UNTRADED = Asset("AAA", "option", expiration=EXPIRATION, strike=30.0, right="PUT")
NO_CONTRACT = Asset("AAA", "option", expiration=EXPIRATION, strike=3.0, right="CALL")


@pytest.mark.parametrize(
    "asset",
    [
        pytest.param(Asset("NONE"), id="unknown symbol"),
        pytest.param(UNTRADED, id="contract without a trade"),
        pytest.param(NO_CONTRACT, id="no such contract"),
    ],
)
def test_what_has_no_bars_is_not_requested_again(asset: Asset, server: PolygonServer, ours: Side) -> None:
    minutes_of(ours, server, SPAN, 10, asset)
    server.requests.clear()
    minutes_of(ours, server, SPAN, 10, asset)
    assert [request for request in server.requests if request.path != SPLITS] == []


def test_no_day_after_an_expiration_is_requested(server: PolygonServer, ours: Side) -> None:
    with ours.entered(server):
        source = ours.source(moment("2023-03-13"), moment("2023-03-30"))
        assert source.get_historical_prices(OPTION, 10, "minute") is not None
    days = asked_days(server, OPTION_TICKER)
    assert max(days) == EXPIRATION


def test_the_day_that_is_not_over_is_requested_again(ours: Side, tmp_path: Path) -> None:
    """The provider may be late: of the last minutes it has nothing at first. Days that are over are not asked for."""
    now = pd.Timestamp.now(tz=NEW_YORK).floor("min")
    index = pd.date_range(now - pd.Timedelta(days=3), now, freq="min")
    whole = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 100.0), index=index)
    whole["volume"] = [float(number) for number in range(len(index))]
    if now.date() != now.tz_convert("UTC").date():
        pytest.skip("Lumibot asks for days of New York, and in UTC, which this coin's are of, it is tomorrow already")
    bitcoin, dollar = Asset("BTC", "crypto"), Asset("USD", "forex")
    end = now + pd.Timedelta(minutes=1)  # a backtest ends a minute before its end: at midnight that is another day

    def all_bars(side: Side, server: PolygonServer) -> pd.DataFrame:
        server.requests.clear()
        with side.entered(server):
            source = side.source((end - pd.Timedelta(days=1)).to_pydatetime(), end.to_pydatetime())
            source.get_historical_prices(bitcoin, 30, "minute", quote=dollar)
            return source._data_store[bitcoin, dollar].df

    with PolygonServer() as server:
        server.serve("X:BTCUSD", "minute", whole.iloc[:-10])
        assert len(all_bars(ours, server)) == len(whole) - 10
        first = asked_days(server, "X:BTCUSD")
        server.serve("X:BTCUSD", "minute", whole)
        again = all_bars(ours, server)
        assert asked_days(server, "X:BTCUSD") < first
        fresh = all_bars(Side(LumibotPolygonDataBacktesting, tmp_path / "theirs"), server)
    assert_same_frame(fresh, again, "the second time")


def test_without_a_network_only_the_first_request_is_repeated(
    server: PolygonServer, market: PolygonMarket, ours: Side, let_pass: LetPass, caplog: pytest.LogCaptureFixture
) -> None:
    """The stored bars serve the backtest, so it must not wait for each of its symbols."""
    for symbol in SYMBOLS:
        server.serve(symbol, "minute", market.bars[symbol, "minute"].loc[:"2023-03-06 12:00"])  # type: ignore[misc]

    def frames() -> list[pd.DataFrame]:
        with ours.entered(server):
            source = ours.source(*map(moment, SPAN))
            source._datetime = moment("2023-03-10 14:00")
            return [source.get_historical_prices(Asset(symbol), 500, "minute").df.copy() for symbol in SYMBOLS]

    first = frames()
    let_pass(31)
    server.faults = [Fault("", 10_000, Answer(b"", 503))]
    server.requests.clear()
    for expected, actual in zip(first, frames(), strict=True):
        assert_same_frame(expected, actual, "without a network")
    assert [request.path.split("/")[2] for request in server.requests] == [
        *["reference"] * 5,  # the splits of the first stock
        *("aggs", "reference", "aggs"),
    ]
    assert caplog.text.count("could not be requested again") == len(SYMBOLS)


@pytest.mark.parametrize("late", [True, False], ids=["the rest comes later", "there is no more"])
def test_a_partial_response_is_requested_again_until_a_second_one_agrees(
    late: bool, server: PolygonServer, market: PolygonMarket, ours: Side, tmp_path: Path, let_pass: LetPass
) -> None:
    """Of a week, Polygon has bars until Monday at noon."""
    whole = market.bars["AAA", "minute"]
    server.serve("AAA", "minute", whole.loc[:"2023-03-06 12:00"])  # type: ignore[misc]
    first = minutes_of(ours, server, SPAN, 500)
    assert first.index[-1] == pd.Timestamp("2023-03-06 12:00", tz=NEW_YORK)
    server.requests.clear()
    for days in (0, 29):
        let_pass(days)
        assert_same_frame(first, minutes_of(ours, server, SPAN, 500), "before it has expired")
    assert server.asked(AGGREGATES) == []
    let_pass(31)
    if late:
        server.serve("AAA", "minute", whole)
    again = minutes_of(ours, server, SPAN, 500)
    assert asked_days(server, "AAA") == {dt.date(2023, 3, day) for day in range(6, 11)}
    server.requests.clear()
    assert_same_frame(
        minutes_of(Side(our_class(), tmp_path / "fresh"), server, SPAN, 500), again, "the second response"
    )
    server.requests.clear()
    let_pass(4_000)
    minutes_of(ours, server, SPAN, 500)
    assert server.asked(AGGREGATES) == []


# -- faults ---------------------------------------------------------------------------------------------------

LONG = ("2022-12-01", "2023-03-11")  # several chunks


@pytest.fixture
def chunks(server: PolygonServer, tmp_path: Path) -> list[Request]:
    """Return the requests for aggregates of a download that takes several, the oldest days first."""
    other = Side(our_class(), tmp_path / "to see the chunks")
    with other.entered(server):
        source = other.source(*map(moment, LONG))
        source.get_historical_prices(Asset("AAA"), 10, "minute")
    found = sorted(server.asked(AGGREGATES), key=lambda request: min(days_of(request)))
    assert len(found) > 2, "the span is to be long enough for more than two chunks"
    server.requests.clear()
    return found


def long_minutes(side: Side, server: PolygonServer) -> Any:
    with side.entered(server):
        source = side.source(*map(moment, LONG))
        return source.get_historical_prices(Asset("AAA"), 10, "minute")


def test_a_chunk_that_fails_is_reported_and_requested_again(
    chunks: list[Request],
    server: PolygonServer,
    ours: Side,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault = Fault(chunks[1].path, times=1_000, answer=Answer({"status": "ERROR", "error": "out of order"}, 500))
    server.faults.append(fault)
    reported = ""
    try:
        long_minutes(ours, server)
    except Exception as error:
        reported = f"{error} {error.__cause__}"
    output = capsys.readouterr()
    assert "AAA" in reported + caplog.text + output.out + output.err
    assert fault.times < 1_000
    server.faults.clear()
    server.requests.clear()
    bars = long_minutes(ours, server)
    assert asked_days(server, "AAA") == days_of(chunks[1])  # what had arrived is not asked for again
    whole = long_minutes(Side(our_class(), tmp_path / "fresh"), server)
    assert_same_frame(whole.df, bars.df, "after the fault")


def test_a_request_in_mid_backtest_that_fails_is_not_taken_for_no_data(
    server: PolygonServer, ours: Side, tmp_path: Path
) -> None:
    """The source that met the fault asks again when it is asked again."""
    server.faults.append(Fault(f"{AGGREGATES}/ticker/AAA/", times=10, answer=Answer({"status": "ERROR"}, 500)))
    with ours.entered(server):
        source = ours.source(*map(moment, SPAN))
        with pytest.raises(Exception, match="Polygon"):
            source.get_historical_prices(Asset("AAA"), 10, "minute")
        server.faults.clear()
        bars = source.get_historical_prices(Asset("AAA"), 10, "minute")
    assert bars is not None
    assert len(bars.df) == 10


def test_a_download_that_was_killed_continues_where_it_was(
    chunks: list[Request], server: PolygonServer, ours: Side, tmp_path: Path
) -> None:
    held = threading.Event()
    server.faults.append(Fault(chunks[-1].path, until=held))
    process, _ = start(workers.download, server.url, ours.folder, LONG, "AAA", 10)
    try:
        deadline = time.monotonic() + 60
        while len(server.asked(AGGREGATES)) < len(chunks) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(3)  # the chunks that have arrived are written
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    finally:
        held.set()
    server.requests.clear()
    bars = long_minutes(ours, server)
    assert asked_days(server, "AAA") == days_of(chunks[-1])
    whole = long_minutes(Side(our_class(), tmp_path / "fresh"), server)
    assert_same_frame(whole.df, bars.df, "after the kill")


def test_the_key_is_seen_nowhere(
    market: PolygonMarket,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither when all goes well, nor in what is said and written of refusals, faults and pages."""
    caplog.set_level(logging.DEBUG)
    said = []
    wrong = "another-key-which-no-log-may-show"
    with market.served() as server:
        server.key_in_next_url = True
        server.page_limit = 2_000
        ours = Side(our_class(), tmp_path / "ours")
        backtest(server, ours.folder)
        server.earliest = dt.date(2023, 1, 1)
        faults = {
            "refused": lambda: None,
            "failing": lambda: server.faults.append(Fault(AGGREGATES, times=50, answer=Answer({"error": KEY}, 500))),
            "odd": lambda: server.faults.append(Fault(AGGREGATES, times=50, answer=Answer(f"<{KEY}>".encode(), 200))),
            "split": lambda: server.faults.append(Fault(SPLITS, times=50, answer=Answer({"error": KEY}, 500))),
        }
        for name, prepare in faults.items():
            server.faults.clear()
            prepare()
            try:
                minutes_of(Side(our_class(), tmp_path / name), server, LONG, 60_000)
            except Exception as error:
                said += _everything_said(error)
        server.faults.clear()
        side = Side(our_class(), tmp_path / "wrong key")
        with side.entered(server):
            source = side.source(*map(moment, SPAN), api_key=wrong)
            try:
                source.get_historical_prices(Asset("AAA"), 10, "minute")
            except Exception as error:
                said += _everything_said(error)
            try:
                source.get_last_price(Asset("AAA"))
            except Exception as error:
                said += _everything_said(error)
    output = capfd.readouterr()
    for secret in (KEY, wrong):
        for text in (*said, caplog.text, output.out, output.err):
            assert secret not in text
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def _everything_said(error: BaseException | None) -> list[str]:
    said = []
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return said


# -- history that changes -------------------------------------------------------------------------------------


def test_a_split_restates_the_history_on_its_day_and_not_when_it_is_announced(
    server: PolygonServer, ours: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes_of(ours, server, SPAN, 20)
    server.splits.append(Split("AAA", (dt.date.today() + dt.timedelta(days=1)).isoformat(), 1, 2))
    for days, asked in ((0, False), (2, True)):
        outside(make_checks_old, ours)
        server.requests.clear()
        passed = dt.timedelta(days=days)
        monkeypatch.setattr(clock, "today", lambda zone=None, passed=passed: dt.date.today() + passed)
        minutes_of(ours, server, SPAN, 20)
        assert server.asked(SPLITS)
        assert bool(server.asked(AGGREGATES)) == asked


@pytest.mark.parametrize("asset", [Asset("AAA"), OPTION], ids=["stock", "option"])
def test_a_new_split_makes_the_stored_bars_a_new_version_as_one(
    asset: Asset, server: PolygonServer, ours: Side, tmp_path: Path
) -> None:
    before = minutes_of(ours, server, SPAN, 2_000, asset)
    minutes_of(ours, server, SPAN, 2_000, asset)  # whether or not the first asks for splits
    old = versions(ours)
    server.splits.append(Split("AAA", "2023-03-27", 1, 2))
    outside(make_checks_old, ours)
    server.requests.clear()
    after = minutes_of(ours, server, SPAN, 2_000, asset)
    assert server.asked(AGGREGATES)
    new = versions(ours)
    assert new.keys() == old.keys()
    assert all(new[name] != old[name] for name in old if "minute" in name)
    fresh = minutes_of(Side(our_class(), tmp_path / "fresh"), server, SPAN, 2_000, asset)
    assert_same_frame(fresh, after, "after the split")
    if asset.asset_type == "stock":
        assert_same_frame(before[["close"]] / 2, after[["close"]], "halved")
        storage = DuckDBDataStorage(ours.store)
        assert storage.verify().sound
        storage.close()


def test_a_restatement_by_another_process_does_not_touch_a_running_backtest(
    server: PolygonServer, ours: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disturbed(Crossing):
        def on_trading_iteration(self) -> None:
            if self.iteration == 20:
                outside(halve, ours)
            super().on_trading_iteration()

    Disturbed.__name__ = Crossing.__name__  # it stands in the trade log
    alone = backtest(server, tmp_path / "alone")
    backtest(server, ours.folder, run_folder="to have it stored")
    # With windows far too small, most of the backtest is read after the restatement.
    with monkeypatch.context() as small:
        small.setattr("lumibot.credentials.POLYGON_MAX_MEMORY_BYTES", 100_000, raising=False)
        disturbed = backtest(server, ours.folder, run_folder="disturbed", strategy=Disturbed)
    assert_same_result(alone, disturbed)
    later = backtest(server, ours.folder, run_folder="later")
    assert later.seen != alone.seen


def test_a_backtest_that_needs_more_days_after_a_restatement_gets_an_error(server: PolygonServer, ours: Side) -> None:
    """New downloads would not fit the bars that it has read; those stay unchanged."""
    with ours.entered(server):
        source = ours.source(*map(moment, SPAN))
        source._datetime = moment(SPAN[1]) - dt.timedelta(hours=10)
        before = source.get_historical_prices(Asset("AAA"), 100, "minute").df.copy()
        outside(halve, ours)
        with pytest.raises(HistoryRestatedError):
            source.get_historical_prices(Asset("AAA"), 20_000, "minute")
        after = source.get_historical_prices(Asset("AAA"), 90, "minute").df
    assert_same_frame(before[["open", "close", "volume"]].tail(90), after[["open", "close", "volume"]], "after")


# -- Lumibot's own behaviour ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["argument", pytest.param("environment", marks=pytest.mark.long)])
def test_without_duckdb_it_is_lumibots_class_with_lumibots_files(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    autumn_market = autumn()
    asked = requests(autumn_market, 11, 25)
    logs, files = [], []
    with autumn_market.served() as server:
        answers = []
        for side in both_sides(tmp_path):
            server.requests.clear()
            settings: dict[str, Any] = {}
            with side.entered(server):
                if side.source_class is not LumibotPolygonDataBacktesting:
                    if how == "argument":
                        settings["use_duckdb"] = False
                    else:
                        monkeypatch.setenv("LUMIBOT_USE_DUCKDB", "false")
                source = side.source(autumn_market.start, autumn_market.end, **settings)
                with silence():
                    answers.append([ask(source, request) for request in asked])
            logs.append(sorted((request.path, sorted(request.query.items())) for request in server.requests))
            cache = side.folder / "lumibot"
            files.append({str(file.relative_to(cache)): file for file in cache.rglob("*.parquet")})
            assert not side.store.exists()
    for request, theirs, ours in zip(asked, *answers, strict=True):
        assert_same_answer(request, theirs, ours)
    assert logs[0] == logs[1]
    assert files[0].keys() == files[1].keys()
    for name, file in files[0].items():
        if "option_chains" not in name:
            pd.testing.assert_frame_equal(pd.read_parquet(file), pd.read_parquet(files[1][name]))


@pytest.mark.long
def test_max_memory_bounds_the_windows_and_changes_no_answer(tmp_path: Path) -> None:
    autumn_market = autumn()
    stocks = [pair for pair in autumn_market.assets if pair[0].asset_type in ("stock", "index")]
    asked = requests(autumn_market, 12, 24, pairs=stocks)
    theirs, ours = both_sides(tmp_path)
    with autumn_market.served() as server:
        expected = answers_of(theirs, server, autumn_market, asked)
        with ours.entered(server), silence():
            source = ours.source(autumn_market.start, autumn_market.end, max_memory=200_000)
            actual = [ask(source, request) for request in asked]
    for request, left, right in zip(asked, expected, actual, strict=True):
        assert_same_answer(request, left, right)
    assert source.budget.statistics.evictions > 0


# -- option chains --------------------------------------------------------------------------------------------


def chain_requests(side: Side, server: PolygonServer, days: list[str]) -> list[int]:
    """Request a chain on each day, in new backtests; return how many requests each sent."""
    counts = []
    for day in days:
        server.requests.clear()
        with side.entered(server):
            source = side.source(moment("2023-01-01"), moment("2023-03-30"))
            source._datetime = moment(day)
            source.get_chains(Asset("AAA"))
        counts.append(len(server.requests))
        assert len(server.asked(CONTRACTS)) == len(server.requests)
    return counts


@pytest.mark.parametrize("bound", [None, "14", "0", "many"])
def test_a_chain_is_requested_when_lumibot_requests_it(
    bound: str | None, server: PolygonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reused for fourteen days; bounded by LUMIBOT_OPTION_CHAIN_MAX_DAYS only on the day that it is from."""
    if bound is None:
        monkeypatch.delenv("LUMIBOT_OPTION_CHAIN_MAX_DAYS", raising=False)
    else:
        monkeypatch.setenv("LUMIBOT_OPTION_CHAIN_MAX_DAYS", bound)
    days = ["2023-02-01", "2023-02-01", "2023-02-15", "2023-02-16", "2023-02-10", "2023-01-31", "2023-03-17"]
    theirs, ours = (chain_requests(side, server, days) for side in both_sides(tmp_path))
    assert sum(theirs) > 0
    assert theirs == ours


def expirations(source: Any, day: str) -> list[str]:
    source._datetime = moment(day)
    return sorted(source.get_chains(Asset("AAA"))["Chains"]["CALL"])


def a_source(side: Side) -> Any:
    return side.source(moment("2023-01-01"), moment("2023-03-30"))


def test_expirations_that_are_listed_later_appear_in_a_stored_chain(
    server: PolygonServer, ours: Side, tmp_path: Path, let_pass: LetPass
) -> None:
    """A running backtest keeps what it has seen."""
    day, new = "2023-02-01", "2023-03-10"
    with ours.entered(server):
        running = a_source(ours)
        before = expirations(running, day)
        server.contracts = [*server.contracts, Contract("O:AAA230310C00100000", "AAA", new, "call", 100.0)]
        let_pass(6)
        assert expirations(a_source(ours), day) == before
        let_pass(8)
        server.requests.clear()
        assert expirations(running, day) == expirations(running, "2023-02-02") == before
        assert server.requests == []
        assert expirations(a_source(ours), day) == sorted([*before, new])
        assert expirations(a_source(ours), day) == sorted([*before, new])
        assert len(server.asked(CONTRACTS)) == 2  # those that have expired, and the others
    fresh = Side(our_class(), tmp_path / "fresh")
    with fresh.entered(server):
        assert expirations(a_source(fresh), day) == sorted([*before, new])


def test_an_old_listing_serves_while_contracts_cannot_be_listed_again(
    server: PolygonServer, ours: Side, let_pass: LetPass, caplog: pytest.LogCaptureFixture
) -> None:
    with ours.entered(server):
        before = expirations(a_source(ours), "2023-02-01")
        let_pass(8)
        server.faults.append(Fault(CONTRACTS, 10_000, Answer({"status": "ERROR"}, 400)))
        running = a_source(ours)
        server.requests.clear()
        assert expirations(running, "2023-02-01") == before
        asked = len(server.asked(CONTRACTS))
        assert expirations(running, "2023-02-02") == before
        assert len(server.asked(CONTRACTS)) == asked > 0
        with pytest.raises(ProviderError):  # there is no older list
            running.get_chains(Asset("BBB"))
    assert caplog.text.count("could not be listed again, so older lists are used") == 1


def test_contracts_that_had_expired_when_they_were_listed_are_not_listed_again(
    server: PolygonServer, ours: Side, let_pass: LetPass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_OPTION_CHAIN_MAX_DAYS", "30")
    with ours.entered(server):
        before = expirations(a_source(ours), "2023-02-01")
        let_pass(1_000)
        server.requests.clear()
        assert expirations(a_source(ours), "2023-02-01") == before
    assert server.requests == []


@pytest.mark.parametrize("timestep", ["week", "month"])
def test_timesteps_that_lumibot_has_no_windows_for_are_refused_in_its_words(
    timestep: str, server: PolygonServer, ours: Side
) -> None:
    with ours.entered(server):
        source = ours.source(*map(moment, SPAN))
        for _ in range(2):
            with pytest.raises(ValueError, match="Timestep must be one of 'minute', 'hour', or 'day'"):
                source.get_historical_prices(Asset("AAA"), 2, timestep)


# -- several processes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, pytest.param(10, marks=pytest.mark.long)])
@pytest.mark.long
def test_processes_on_one_store_agree_with_a_run_alone(
    processes: int, server: PolygonServer, ours: Side, tmp_path: Path
) -> None:
    """Half of them find everything stored, the others have to download, all at the same time."""
    spans = {"stored": SPAN, "new": ("2023-02-06", "2023-02-11")}
    alone = {name: workers.digest(backtest(server, tmp_path / name, span)) for name, span in spans.items()}
    backtest(server, ours.folder)
    running = []
    for number in range(processes):
        name = ("stored", "new")[number % 2]
        running.append(
            (name, *start(workers.report_backtest, server.url, ours.folder, spans[name], SYMBOLS, f"process {number}"))
        )
    for name, process, pipe in running:
        assert pipe.poll(300), "a process does not finish"
        assert pipe.recv() == alone[name]
        process.join(60)
        assert process.exitcode == 0
    storage = DuckDBDataStorage(ours.store)
    assert storage.verify().sound
    storage.close()
