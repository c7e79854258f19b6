"""Lumibot's Polygon class on the store instead of Polygon: the same answers, trades and cache files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.entities import Asset
from polygon import RESTClient
from polygon.exceptions import BadResponse

from comparison.offline import Online, assert_same_files, offline, written
from lumibot_duckdb.sources.shared.stored_answers import Unanswered
from parity.backtests import BacktestResult, assert_same_result, run
from parity.ground import silence
from parity.harness import Answer, Request, ask
from parity.strategies import ChainBuyer
from sources.polygon import sides as polygon_sides
from sources.polygon.market import PolygonMarket, autumn
from sources.polygon.server import KEY
from sources.polygon.sides import Side, both_sides
from sources.polygon.test_parity_requests import assert_same_answers, requests

pytestmark = [
    pytest.mark.xdist_group("stored_provider_polygon"),  # what they share is made once
    pytest.mark.usefixtures("clean_directory"),
]

CHAINS = {"assets": [Asset("SPY")], "sleeptime": "4H"}
SPAN = ("2023-11-08", "2023-11-14")


def a_week() -> PolygonMarket:
    """Return the market over Thanksgiving; the clocks have gone back and one stock was split before."""
    start, end = (pd.Timestamp(day, tz="America/New_York").to_pydatetime() for day in ("2023-11-20", "2023-11-28"))
    return replace(autumn(), start=start, end=end)


def pairs() -> list[Any]:
    """Return some of each kind: dense, illiquid, split and unknown stocks, options traded, not traded and unknown."""
    options = [
        Asset("SPY", "option", expiration=expiration, strike=strike, right="CALL")
        for expiration, strike in ((dt.date(2023, 11, 30), 440.0), (dt.date(2023, 11, 30), 140.0))
    ]
    stocks = [Asset(symbol) for symbol in ("SPY", "THIN", "SPLT", "NOTHERE")]
    unknown = Asset("SPY", "option", dt.date(2023, 11, 29), 3.0, right="CALL")
    others = [(Asset("BTC", "crypto"), Asset("EUR", "forex")), (Asset("SPX", "index"), None)]
    return [*((asset, None) for asset in [*stocks, *options, unknown]), *others]


def from_store(side: Side, store: Path) -> AbstractContextManager[Unanswered]:
    return offline(side, store, polygon_sides, "client_redirected_to")


def answers(side: Side, asked: Sequence[Request]) -> list[Answer]:
    """Return what a new source answers; the side must be entered."""
    market = a_week()
    with silence():
        source = side.source(market.start, market.end)
        return [ask(source, request) for request in asked]


def backtest(side: Side, **settings: Any) -> BacktestResult:
    return run(ChainBuyer, side.source_class, side.folder / "run", *SPAN, dict(CHAINS), **settings)


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Online:
    """Run both classes; from then on there is no server."""
    folder, market = tmp_path_factory.mktemp("online"), a_week()
    asked = requests(market, 3, 26, pairs=pairs())
    theirs, ours = both_sides(folder)
    traded = Side(LumibotPolygonDataBacktesting, folder / "traded")
    with market.served() as server:
        with theirs.entered(server):
            first, warm = answers(theirs, asked), answers(theirs, asked)
        with traded.entered(server):
            trades = backtest(traded, polygon_api_key=KEY)
        with ours.entered(server):
            answers(ours, asked)
            backtest(ours, polygon_api_key=KEY)
    return Online(asked, first, warm, trades, theirs.folder / "lumibot", ours.store)


def test_lumibots_class_answers_and_caches_as_with_polygon(online: Online, tmp_path: Path) -> None:
    theirs = Side(LumibotPolygonDataBacktesting, tmp_path / "theirs")
    with from_store(theirs, online.store) as notes:
        assert_same_answers(online.asked, online.first, answers(theirs, online.asked))
        assert_same_answers(online.asked, online.warm, answers(theirs, online.asked))
    assert notes.lines() == []
    # Of a split, Polygon's own id is not stored.
    assert assert_same_files(online.cache, theirs.folder / "lumibot", without={"_splits.parquet": ["id"]}) > 10


def test_our_class_answers_the_same_asks_for_nothing_and_writes_nothing(online: Online, tmp_path: Path) -> None:
    _, ours = both_sides(tmp_path)
    before = written(online.store)
    with from_store(ours, online.store) as notes:
        assert_same_answers(online.asked, online.first, answers(ours, online.asked))
    assert written(online.store) == before
    assert notes.lines() == []


def test_a_strategy_without_a_key_trades_options_the_same(online: Online, tmp_path: Path) -> None:
    theirs, ours = both_sides(tmp_path)
    for side in (theirs, ours):
        with from_store(side, online.store) as notes:
            assert_same_result(online.trades, backtest(side), fills=2)
        assert notes.lines() == []


def test_what_is_not_stored_is_answered_with_nothing_and_named(online: Online, tmp_path: Path) -> None:
    with from_store(Side(LumibotPolygonDataBacktesting, tmp_path), online.store) as notes:
        client = RESTClient(api_key="any")
        assert len(client.get_aggs("SPY", 1, "minute", "2023-11-20", "2023-11-22", limit=50_000)) > 2_000
        assert notes.lines() == []
        assert len(client.get_aggs("SPY", 1, "minute", "2023-11-20", "2024-01-15", limit=50_000)) > 2_000
        assert client.get_aggs("ELSE", 1, "day", "2024-01-02", "2024-01-03") == []
        assert list(client.list_splits("ELSE")) == []
        assert list(client.list_options_contracts("ELSE", expiration_date_gte="2024-01-02")) == []
        with pytest.raises(BadResponse):
            client.get_aggs("SPY", 5, "minute", "2023-11-20", "2023-11-22")
        named = notes.lines()
    assert named == [
        "ELSE stock, day bars from polygon (split): 2024-01-02 05:00 to 2024-01-04 05:00 (UTC)",
        "Polygon's /v2/aggs/ticker/SPY/range/5/minute/2023-11-20/2023-11-22",
        "SPY stock, minute bars from polygon (split): 2023-11-28 05:00 to 2024-01-16 05:00 (UTC)",
        "option chain of ELSE on 2024-01-02 from Polygon",
        "splits of ELSE from Polygon",
    ]


def test_pages_of_bars_follow_one_another(online: Online, tmp_path: Path) -> None:
    with from_store(Side(LumibotPolygonDataBacktesting, tmp_path), online.store):
        client = RESTClient(api_key="any")
        whole = client.get_aggs("SPY", 1, "minute", "2023-11-20", "2023-11-22", limit=50_000)
        paged = list(client.list_aggs("SPY", 1, "minute", "2023-11-20", "2023-11-22", limit=700))
    assert whole == paged
