"""Lumibot's Polygon caches migrated to a store: backtests on it equal Lumibot's, and send no requests.

The opponent is Lumibot's run on the empty cache, which is the run that wrote it. Its second run differs in places (see
docs/parity.md); ours does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.migration.plan import plan_of
from lumibot_duckdb.migration.run import Ending, Outcome, migrate_files
from parity.backtests import assert_same_result
from parity.strategies import ChainBuyer, Crossing
from sources.polygon.market import MARKETS
from sources.polygon.server import PolygonServer
from sources.polygon.sides import Side, both_sides
from sources.polygon.test_parity_requests import answers, assert_same_answers, requests
from sources.polygon.test_parity_strategies import backtest

AGGREGATES, CONTRACTS = "/v2/aggs", "/v3/reference/options/contracts"


@pytest.fixture(scope="module")
def server() -> Iterator[PolygonServer]:
    with MARKETS["autumn"]().served() as server:
        yield server


def bring_in(theirs: Side, ours: Side) -> list[Outcome]:
    """Migrate one side's cache to the other's store, and return the reasons of files that were not migrated."""
    storage = DuckDBDataStorage(ours.store)
    outcomes = list(migrate_files(plan_of(theirs.folder / "lumibot"), storage))
    storage.close()
    assert sum(outcome.rows for outcome in outcomes) == sum(outcome.new for outcome in outcomes) > 0
    return [outcome for outcome in outcomes if outcome.ending is not Ending.MIGRATED]


def asked_for(server: PolygonServer, path: str = "") -> list[str]:
    return [request.path for request in server.asked(path)]


def compare(tmp_path: Path, server: PolygonServer, *arguments: Any, fills: int) -> None:
    theirs, ours = both_sides(tmp_path)
    expected = backtest(theirs, server, *arguments)
    assert bring_in(theirs, ours) == []
    server.requests.clear()
    assert_same_result(expected, backtest(ours, server, *arguments), fills=fills)


@pytest.mark.parametrize("name", ["autumn", pytest.param("spring", marks=pytest.mark.long)])
def test_random_requests_on_a_migrated_cache_get_the_answers_that_made_it(name: str, tmp_path: Path) -> None:
    """Stocks, options, crypto, forex and an index; minutes, hours and days; chains; what is unknown."""
    market = MARKETS[name]()
    asked = requests(market, 1, 20)
    theirs, ours = both_sides(tmp_path)
    with market.served() as server:
        expected = answers(theirs, server, market, asked)
        left_alone = bring_in(theirs, ours)
        server.requests.clear()
        assert_same_answers(asked, expected, answers(ours, server, market, asked))
        # The files do not show whether options exist that were not traded and are in no chain.
        assert all("it has no bars" in outcome.reason for outcome in left_alone)
        assert all("/O:" in path for path in asked_for(server, AGGREGATES))
        assert max(len(asked_for(server, AGGREGATES)), len(asked_for(server, CONTRACTS))) <= len(left_alone)


def test_stocks_that_seldom_trade_begin_to_trade_and_split(tmp_path: Path, server: PolygonServer) -> None:
    parameters = {
        "assets": [Asset("THIN"), Asset("IPOX"), Asset("SPLT")],
        "sleeptime": "30M",
        "step": "15min",
        "length": 12,
    }
    compare(tmp_path, server, Crossing, "2023-11-06", "2023-11-11", parameters, fills=4)
    assert asked_for(server) == []


@pytest.mark.long
def test_options_out_of_a_chain(tmp_path: Path, server: PolygonServer) -> None:
    parameters = {"assets": [Asset("SPY")], "sleeptime": "2H"}
    compare(tmp_path, server, ChainBuyer, "2023-11-06", "2023-11-14", parameters, fills=3)
    assert asked_for(server, AGGREGATES) == asked_for(server, CONTRACTS) == []


@pytest.mark.long
def test_crypto_and_forex_around_the_clock(tmp_path: Path, server: PolygonServer) -> None:
    parameters = {
        "assets": [Asset("BTC", "crypto"), Asset("EUR", "forex")],
        "sleeptime": "30M",
        "step": "15min",
        "length": 12,
        "market": "24/7",
    }
    compare(tmp_path, server, Crossing, "2023-11-05", "2023-11-07", parameters, fills=2)
    assert asked_for(server) == []
