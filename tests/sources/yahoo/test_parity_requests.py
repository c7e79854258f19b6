"""Random requests to Lumibot's Yahoo source and ours, both on one loopback server."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yfinance
from lumibot.entities import Asset

from parity.ground import silence
from parity.harness import NO_LENGTHS, Answer, Request, ask, assert_enough_real, assert_same_answer, random_requests
from parity.series import DOLLAR
from sources.yahoo.market import have_real_data, made_up, new_york_days, real, with_minutes
from sources.yahoo.server import YahooServer
from sources.yahoo.sides import Side, both_sides

NEW_YORK = "America/New_York"
TODAY = dt.date.today()
KINDS = {"history": 70, "last_price": 20, "dividend": 3, "last_dividend": 3, "split": 3}
MADE_UP = {
    "AAA": "stock",
    "FUND": "stock",
    "BTC-USD": "stock",
    "ES": "future",
    "ESZ26": "future",
    "GSPC": "index",
    "^GSPC": "index",
    "GAPS": "stock",
    "VOD.L": "stock",
    "7203.T": "stock",
    "SILENT": "stock",
    "YOUNG": "stock",
    "UNKNOWN": "stock",
}
REAL = ("AAPL", "SPY", "GOOG", "BAC")


def assets_of(kinds: dict[str, str]) -> list[tuple[Asset, None]]:
    return [(Asset(symbol, kind), None) for symbol, kind in kinds.items()]


def moment(text: Any) -> pd.Timestamp:
    return pd.Timestamp(text, tz=NEW_YORK)


@pytest.fixture(scope="module")
def made_up_server() -> Iterator[YahooServer]:
    with YahooServer(instruments=made_up(TODAY)) as server:
        yield server


@pytest.fixture(scope="module")
def intraday_server() -> Iterator[YahooServer]:
    """About five days of minutes, the last one incomplete, with a split and a dividend in between."""
    instruments = made_up(TODAY)
    days = [day.date() for day in new_york_days(str(TODAY - dt.timedelta(days=6)), str(TODAY))]
    every_day = pd.date_range(days[0], TODAY).date
    with_minutes(instruments["AAA"], 1, days)
    with_minutes(instruments["VOD.L"], 2, days, ("07:00", "18:00"))
    with_minutes(instruments["BTC-USD"], 3, every_day, ("00:00", "24:00"))
    with_minutes(instruments["ES=F"], 4, days, ("00:00", "24:00"))
    with_minutes(instruments["SILENT"], 5, days)
    instruments["AAA"].splits[days[1]] = (2.0, 1.0)
    instruments["AAA"].dividends[days[-1]] = 0.3
    with YahooServer(instruments=instruments) as server:
        server.now = pd.Timestamp.now("UTC").floor("min")
        yield server


def answers(
    side: Side, server: YahooServer, span: tuple[Any, Any], requests: Sequence[Request], **settings: Any
) -> Any:
    """Return what a new source answers."""
    with side.entered(server), silence():
        source = side.source(span[0].to_pydatetime(), span[1].to_pydatetime(), **settings)
        found = [_ask(source, request) for request in requests]
        source.shutdown()
        return found


def _ask(source: Any, request: Request) -> Answer:
    if request.kind not in ("split", "last_price_at", "last_dividend"):
        return ask(source, request)
    source._datetime = request.when
    try:
        if request.kind == "last_dividend":
            return Answer(source.get_yesterday_dividend(request.asset))
        if request.kind == "last_price_at":
            return Answer(source.get_last_price(request.asset, timestep=request.timestep))
        return Answer(dict(source.get_yesterday_stock_splits([request.asset], quote=request.quote)))
    except Exception as error:
        return Answer(error=type(error))


def assert_same(requests: Sequence[Request], expected: Sequence[Answer], actual: Sequence[Answer]) -> None:
    for request, left, right in zip(requests, expected, actual, strict=True):
        assert_same_answer(request, left, right)
    assert_enough_real(expected, 1 / 3)


@pytest.mark.parametrize(("seed", "count"), [(0, 120), pytest.param(1, 200, marks=pytest.mark.long)])
def test_daily_bars_of_all_sorts_of_instruments(
    made_up_server: YahooServer, tmp_path: Path, seed: int, count: int
) -> None:
    span = moment(TODAY - dt.timedelta(days=500)), moment(TODAY - dt.timedelta(days=30 * seed))
    index = pd.date_range(*span, freq="13h")
    steps = ("day", "1d", "1 day", "hour")
    requests = list(random_requests(random.Random(seed), assets_of(MADE_UP), index, count, steps, kinds=KINDS))
    theirs, ours = both_sides(tmp_path)
    expected = answers(theirs, made_up_server, span, requests)
    assert_same(requests, expected, answers(ours, made_up_server, span, requests))
    assert_same(requests, expected, answers(ours, made_up_server, span, requests, max_memory=20_000))


def test_an_asset_of_each_type_with_a_quote_gets_the_same_answers(made_up_server: YahooServer, tmp_path: Path) -> None:
    span = moment(TODAY - dt.timedelta(days=500)), moment(TODAY)
    pairs = [(asset, quote) for asset, _ in assets_of(MADE_UP) for quote in (DOLLAR, Asset("EUR", "forex"))]
    kinds = {**KINDS, "quote": 5, "dividend": 10, "split": 10}
    index = pd.date_range(*span, freq="13h")
    requests = list(random_requests(random.Random(3), pairs, index, 100, ("day",), kinds=kinds))
    theirs, ours = both_sides(tmp_path)
    expected = answers(theirs, made_up_server, span, requests)
    assert_same(requests, expected, answers(ours, made_up_server, span, requests))


@pytest.mark.skipif(not have_real_data(), reason="the real bars are not at hand")
def test_daily_bars_of_real_stocks(tmp_path: Path) -> None:
    span = moment("2003-05-01"), moment("2021-03-01")
    index = pd.date_range(*span, freq="31h")
    assets: list[tuple[Asset, None]] = [(Asset(symbol), None) for symbol in REAL]
    requests = list(random_requests(random.Random(7), assets, index, 150, ("day",), kinds=KINDS))
    theirs, ours = both_sides(tmp_path)
    with YahooServer(instruments={symbol: real(symbol) for symbol in REAL}) as server:
        server.now = moment("2021-03-30 20:00").tz_convert("UTC")
        expected = answers(theirs, server, span, requests)
        assert_same(requests, expected, answers(ours, server, span, requests))


@pytest.mark.parametrize(("seed", "count"), [(0, 120), pytest.param(1, 200, marks=pytest.mark.long)])
def test_intraday_bars(intraday_server: YahooServer, tmp_path: Path, seed: int, count: int) -> None:
    """Those of US stocks, too, which Lumibot stamps with the end of the session, all of a day the same."""
    assert intraday_server.now is not None
    end = intraday_server.now.tz_convert(NEW_YORK)
    span = end - pd.Timedelta(days=6), end - pd.Timedelta(days=seed)
    symbols = {
        "AAA": "stock",
        "BTC-USD": "stock",
        "ES": "future",
        "VOD.L": "stock",
        "SILENT": "stock",
        "YOUNG": "stock",
    }
    kinds = {"history": 70, "last_price": 10, "last_price_at": 20, "dividend": 3}
    index = pd.date_range(*span, freq="7min")
    steps = ("minute", "1m", "15 minutes", "15m", "day", "hour")
    requests = list(random_requests(random.Random(seed), assets_of(symbols), index, count, steps, kinds=kinds))
    theirs, ours = both_sides(tmp_path)
    expected = answers(theirs, intraday_server, span, requests)
    assert_same(requests, expected, answers(ours, intraday_server, span, requests))


def test_lengths_of_zero_and_below_get_the_same_answers(intraday_server: YahooServer, tmp_path: Path) -> None:
    assert intraday_server.now is not None
    span = tuple(intraday_server.now.tz_convert(NEW_YORK) - pd.Timedelta(days=days) for days in (6, 1))
    drawn = random_requests(
        random.Random(2),
        assets_of({"AAA": "stock", "VOD.L": "stock"}),
        pd.date_range(*span, freq="7min"),
        60,
        ("minute", "15m", "day"),
        kinds={"history": 1},
        lengths=NO_LENGTHS,
    )
    requests = list(drawn)
    theirs, ours = both_sides(tmp_path)
    expected, actual = (answers(side, intraday_server, span, requests) for side in (theirs, ours))
    for request, left, right in zip(requests, expected, actual, strict=True):
        assert_same_answer(request, left, right)
    assert_enough_real(expected, 0.15)


def test_without_the_store_it_is_lumibots_class(made_up_server: YahooServer, tmp_path: Path) -> None:
    span = moment(TODAY - dt.timedelta(days=200)), moment(TODAY - dt.timedelta(days=100))
    assets = assets_of({"AAA": "stock", "^GSPC": "index", "ES": "future"})
    index = pd.date_range(*span, freq="13h")
    requests = list(random_requests(random.Random(1), assets, index, 60, ("day",), kinds=KINDS))
    theirs, ours = both_sides(tmp_path)
    expected = answers(theirs, made_up_server, span, requests)
    assert_same(requests, expected, answers(ours, made_up_server, span, requests, use_duckdb=False))
    assert not ours.store.exists()
    assert sorted(path.name for path in ours.pickles.iterdir()) == sorted(
        path.name for path in theirs.pickles.iterdir()
    )


@pytest.mark.parametrize("symbol", ["AAA", "FUND", "VOD.L"])
def test_adjusted_bars_are_those_of_yfinance(made_up_server: YahooServer, tmp_path: Path, symbol: str) -> None:
    """Lumibot's own fail with a `KeyError`."""
    theirs, ours = both_sides(tmp_path)
    clock = moment(TODAY - dt.timedelta(days=60)).to_pydatetime()
    span = clock - dt.timedelta(days=100), clock
    with theirs.entered(made_up_server), silence():
        with pytest.raises(KeyError):
            theirs.source(*span, auto_adjust=True).get_historical_prices(symbol, 5, "day")
        adjusted = yfinance.Ticker(symbol).history(period="max", auto_adjust=True)
    with ours.entered(made_up_server), silence():
        source = ours.source(*span, auto_adjust=True)
        source._datetime = clock
        bars = source.get_historical_prices(symbol, 200, "day").df
        price = source.get_last_price(Asset(symbol))
        assert not source.should_apply_stock_splits_to_positions(Asset(symbol))
    seen = adjusted[adjusted.index < clock].iloc[-200:]
    for name in ("Open", "High", "Low", "Close", "Volume"):
        assert bars[name.lower()].tolist() == seen[name].tolist(), name
    assert price == seen["Open"].iloc[-1]
    close = seen["Close"].to_numpy()
    assert bars["price_change"].tolist()[1:] == (close[1:] / close[:-1] - 1).tolist()


def test_bars_of_several_assets_come_where_lumibot_recurses_without_end(
    made_up_server: YahooServer, tmp_path: Path
) -> None:
    theirs, ours = both_sides(tmp_path)
    clock = moment(TODAY - dt.timedelta(days=60)).to_pydatetime()
    assets = [Asset("AAA"), Asset("GSPC", "index")]
    with theirs.entered(made_up_server), silence():
        source = theirs.source(clock - dt.timedelta(days=9), clock)
        with pytest.raises(RecursionError):
            source._pull_source_bars(assets, 3)
        alone = {asset: source._pull_source_symbol_bars(asset, 3) for asset in assets}
    with ours.entered(made_up_server), silence():
        together = ours.source(clock - dt.timedelta(days=9), clock)._pull_source_bars(assets, 3)
    for asset in assets:
        pd.testing.assert_frame_equal(alone[asset], together[asset], check_exact=True)
