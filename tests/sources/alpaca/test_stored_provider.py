"""Lumibot's Alpaca class on the store instead of Alpaca: the same answers, trades and cache files."""

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
import pytz
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestTradeRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.entities import Asset

from comparison.offline import assert_same_files, offline, written
from lumibot_duckdb.sources.shared.stored_answers import Unanswered
from parity.backtests import BacktestResult, assert_same_result, run
from parity.ground import silence
from parity.harness import Answer, Request, real_answers
from parity.strategies import ChainBuyer
from sources.alpaca import sides as alpaca_sides
from sources.alpaca.market import MARKETS, pairs_of, served
from sources.alpaca.sides import CONFIG, Side, both_sides
from sources.alpaca.test_parity_requests import DIVIDENDS, answer, assert_same_answers, requests

pytestmark = [
    pytest.mark.xdist_group("stored_provider_alpaca"),  # what they share is made once
    pytest.mark.usefixtures("clean_directory"),
]

NEW_YORK = pytz.timezone("America/New_York")
SPAN = (NEW_YORK.localize(dt.datetime(2023, 11, 6)), NEW_YORK.localize(dt.datetime(2023, 11, 11)))
STEPS = ("minute", "5min", "day", "2day")
SETTINGS: list[dict[str, Any]] = [
    {"timestep": "minute", "full_window": True, "history_before_start": True},
]
TRADING: dict[str, Any] = {"timestep": "minute", "full_window": True, "history_before_start": True}
CHAINS = {"assets": [Asset("SPY")], "sleeptime": "4H"}


def from_store(side: Side, store: Path) -> AbstractContextManager[Unanswered]:
    return offline(side, store, alpaca_sides, "clients_redirected_to")


def answers(side: Side, asked: Sequence[Request], settings: dict[str, Any]) -> list[Answer]:
    """Return what a new source answers; the side must be entered."""
    with silence():
        source = side.source(*SPAN, **settings)
        return [answer(source, request) for request in asked]


def backtest(side: Side, **settings: Any) -> BacktestResult:
    span = ("2023-11-06", "2023-11-10")
    return run(ChainBuyer, side.source_class, side.folder / "run", *span, dict(CHAINS), **settings)


@dataclass(frozen=True)
class Online:
    """What Lumibot's class did with Alpaca's server: first, and on its cache then; what ours stored of it.

    Each list has an entry for each of `SETTINGS`.
    """

    asked: list[Request]
    first: list[list[Answer]]
    warm: list[list[Answer]]
    trades: BacktestResult
    cache: Path
    store: Path


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Online:
    """Run both classes; from then on there is no server."""
    folder, market, rng = tmp_path_factory.mktemp("online"), MARKETS["autumn"](), random.Random(5)
    options = [pair for pair in pairs_of(market) if pair[0].asset_type == "option"]
    stocks = [(Asset(symbol), None) for symbol in ("SPLT", "THIN", "NOTHERE")]
    bitcoin = [pair for pair in pairs_of(market) if pair[0].asset_type == "crypto"][:1]
    asked = requests(SPAN, rng, [*stocks, *bitcoin, *rng.sample(options, 3)], 26, steps=STEPS)
    theirs, ours = both_sides(folder)
    traded = Side(LumibotAlpacaBacktesting, folder / "traded")
    with served(market, *DIVIDENDS) as server:
        server.page_limit = 997
        with theirs.entered(server):
            first, warm = ([answers(theirs, asked, settings) for settings in SETTINGS] for _ in range(2))
        with traded.entered(server):
            trades = backtest(traded, config=CONFIG, **TRADING)
        with ours.entered(server):
            for settings in SETTINGS:
                answers(ours, asked, settings)
            backtest(ours, config=CONFIG, **TRADING)
    return Online(asked, first, warm, trades, theirs.folder / "lumibot", ours.store)


def test_lumibots_class_answers_and_caches_as_with_alpaca(online: Online, tmp_path: Path) -> None:
    theirs = Side(LumibotAlpacaBacktesting, tmp_path / "theirs")
    with from_store(theirs, online.store) as notes:
        for expected in (online.first, online.warm):
            for settings, each in zip(SETTINGS, expected, strict=True):
                assert_same_answers(online.asked, each, answers(theirs, online.asked, settings))
                assert real_answers(each) > 10
    assert notes.lines() == []
    assert assert_same_files(online.cache, theirs.folder / "lumibot") > 10


def test_our_class_answers_the_same_asks_for_nothing_and_writes_nothing(online: Online, tmp_path: Path) -> None:
    _, ours = both_sides(tmp_path)
    before = written(online.store)
    with from_store(ours, online.store) as notes:
        for settings, expected in zip(SETTINGS, online.first, strict=True):
            assert_same_answers(online.asked, expected, answers(ours, online.asked, settings))
    assert written(online.store) == before
    assert notes.lines() == []


def test_a_strategy_without_a_key_trades_options_the_same(online: Online, tmp_path: Path) -> None:
    for side in both_sides(tmp_path):
        with from_store(side, online.store) as notes:
            assert_same_result(online.trades, backtest(side, **TRADING), fills=2)
        assert notes.lines() == []


def test_what_is_not_stored_is_answered_with_nothing_and_named(online: Online, tmp_path: Path) -> None:
    def bars(symbol: Any, start: str, end: str, **settings: Any) -> pd.DataFrame:
        span = {name: pd.Timestamp(day, tz="UTC").to_pydatetime() for name, day in (("start", start), ("end", end))}
        request = {"symbol_or_symbols": symbol, "timeframe": TimeFrame(1, TimeFrameUnit.Minute), **span, **settings}
        return client.get_stock_bars(StockBarsRequest(**request)).df

    with from_store(Side(LumibotAlpacaBacktesting, tmp_path), online.store) as notes:
        client = StockHistoricalDataClient("any", "key")
        assert len(bars("SPLT", "2023-11-07", "2023-11-10", adjustment="all")) > 2_000
        assert notes.lines() == []
        both = bars(["SPLT", "ELSE"], "2023-11-10", "2023-11-20", adjustment="all")
        assert set(both.index.get_level_values("symbol")) == {"SPLT"}
        assert bars("SPLT", "2023-11-06", "2023-11-10").empty
        with pytest.raises(APIError):
            client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="SPLT"))
        named = notes.lines()
    assert named == [
        "Alpaca's /v2/stocks/trades/latest",
        "ELSE stock, minute bars from alpaca (all): 2023-11-10 to 2023-11-20 (UTC)",
        "SPLT stock, minute bars from alpaca: 2023-11-06 to 2023-11-10 (UTC)",
        "SPLT stock, minute bars from alpaca (all): 2023-11-13 05:00 to 2023-11-20 (UTC)",
    ]
