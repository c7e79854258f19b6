"""Lumibot's CCXT class on the store instead of an exchange: the same answers, trades and cache files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import ccxt
import pytest
from lumibot.backtesting import CcxtBacktesting as LumibotCcxtBacktesting
from lumibot.entities import Asset, Bars

from comparison.offline import Online, assert_same_files, offline, written
from lumibot_duckdb.sources.shared.stored_answers import Unanswered
from parity.backtests import BacktestResult, assert_same_result, run
from parity.ground import silence
from parity.harness import Answer, Request, ask
from parity.strategies import Crossing
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.market import DOLLAR, CcxtMarket, moment, spring
from sources.ccxt.sides import Side, both_sides
from sources.ccxt.test_parity_requests import assert_same_answers, requests

pytestmark = [
    pytest.mark.xdist_group("stored_provider_ccxt"),  # what they share is made once
    pytest.mark.usefixtures("clean_directory"),
]

GAPS, LATE = (Asset(coin, "crypto") for coin in ("GAPS", "LATE"))
HOURS = ("2023-03-11 20:00", "2023-03-12 06:00")
CROSSING = {"assets": [GAPS, LATE], "sleeptime": "10M", "market": "24/7", "step": "minute", "length": 12}


def days() -> CcxtMarket:
    """Return two days of coins, with half a night missing and one coin listed in between."""
    market = replace(spring(), start=moment("2023-03-11 07:13"), end=moment("2023-03-13 03:00"))
    coins = ("BTC", "GAPS", "LATE", "IDLE", "NULL")
    return replace(market, minutes={coin: market.minutes[coin].loc["2023-03-09":] for coin in coins})


def from_store(side: Side, store: Path) -> AbstractContextManager[Unanswered]:
    return offline(side, store, ccxt_sides, "exchange_redirected_to")


def answers(side: Side, asked: Sequence[Request]) -> list[Answer]:
    """Return what a new source answers; the side must be entered."""
    market = days()
    with silence():
        source = side.source(market.start, market.end)
        return [ask(source, request) for request in asked]


def backtest(side: Side) -> BacktestResult:
    settings = {"exchange_id": "binance", "quote_asset": DOLLAR}
    return run(Crossing, side.source_class, side.folder / "run", *HOURS, dict(CROSSING), **settings)


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Online:
    """Run both classes; from then on there is no server."""
    folder, market = tmp_path_factory.mktemp("online"), days()
    asked = requests(market, 2, 24)
    theirs, ours = both_sides(folder)
    traded = Side(LumibotCcxtBacktesting, folder / "traded")
    with market.server() as server:
        with theirs.entered(server):
            first, warm = answers(theirs, asked), answers(theirs, asked)
        with traded.entered(server):
            trades = backtest(traded)
        with ours.entered(server):
            answers(ours, asked)
            backtest(ours)
    return Online(asked, first, warm, trades, theirs.folder / "lumibot", ours.store)


def test_lumibots_class_answers_and_caches_as_with_the_exchange(online: Online, tmp_path: Path) -> None:
    theirs = Side(LumibotCcxtBacktesting, tmp_path / "theirs")
    with from_store(theirs, online.store) as notes:
        assert_same_answers(online.asked, online.first, answers(theirs, online.asked))
        assert_same_answers(online.asked, online.warm, answers(theirs, online.asked))
    assert notes.lines() == []
    assert assert_same_files(online.cache, theirs.folder / "lumibot") > 6
    assert sum(isinstance(answer.value, Bars) for answer in online.first) > 8


def test_our_class_answers_the_same_asks_for_nothing_and_writes_nothing(online: Online, tmp_path: Path) -> None:
    _, ours = both_sides(tmp_path)
    # In which way a market was misnamed the store does not know: there are no candles then, and no error.
    known = [(asked, answer) for asked, answer in zip(online.asked, online.first, strict=True) if not answer.error]
    asked, expected = [request for request, _ in known], [answer for _, answer in known]
    before = written(online.store)
    with from_store(ours, online.store) as notes:
        assert_same_answers(asked, expected, answers(ours, asked))
    assert written(online.store) == before
    assert notes.lines() == []


def test_a_strategy_trades_the_same(online: Online, tmp_path: Path) -> None:
    for side in both_sides(tmp_path):
        with from_store(side, online.store) as notes:
            assert_same_result(online.trades, backtest(side), fills=2)
        assert notes.lines() == []


def test_what_is_not_stored_is_answered_with_nothing_and_named(online: Online, tmp_path: Path) -> None:
    market = days()
    with from_store(Side(LumibotCcxtBacktesting, tmp_path), online.store) as notes:
        exchange = ccxt.binance()
        assert "ELSE/USDT" in exchange.load_markets()
        stored = int(market.start.timestamp()) * 1000
        assert len(exchange.fetch_ohlcv("BTC/USDT", "1m", stored, 500)) == 500
        assert notes.lines() == []
        assert exchange.fetch_ohlcv("ELSE/USDT", "1m", stored, 60) == []
        before = int((market.start - dt.timedelta(days=30)).timestamp()) * 1000
        assert exchange.fetch_ohlcv("BTC/USDT", "1m", before, 60) == []
        assert exchange.fetch_ohlcv("BTC/USDT", "5m", stored, 60) == []
        with pytest.raises(ccxt.ExchangeNotAvailable):
            exchange.fetch_time()
        named = notes.lines()
    assert named == [
        "5m candles of BTC/USDT from binance",
        "BTC/USDT crypto on binance, minute bars from ccxt: 2023-02-09 12:13 to 2023-02-09 13:13 (UTC)",
        "ELSE/USDT crypto on binance, minute bars from ccxt: 2023-03-11 12:13 to 2023-03-11 13:13 (UTC)",
        "binance's https://api.binance.com/api/v3/time",
    ]
