"""Lumibot's Alpaca caches migrated to a store: offline backtests on it equal Lumibot's on its own cache."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.migration.plan import plan_of
from lumibot_duckdb.migration.run import Ending, migrate_files
from lumibot_duckdb.sources.alpaca.old_cache.reader import AlpacaChainReader, AlpacaReader
from lumibot_duckdb.sources.alpaca.old_cache.shared_bars import SharedBarReader
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.storage.api import AssetKey
from migration.moving import moved, snapshot
from parity.backtests import BacktestResult, assert_same_result, run
from parity.ground import environment
from parity.strategies import ChainBuyer, Crossing, ManyHorizons
from sources.alpaca.market import MARKETS, served
from sources.alpaca.server import AlpacaServer
from sources.alpaca.sides import CONFIG, IN_THE_ENVIRONMENT, Side, both_sides

pytestmark = pytest.mark.xdist_group("alpaca")  # what they share is made once

MINUTES: dict[str, Any] = {"config": CONFIG, "timestep": "minute", "full_window": True, "history_before_start": True}
DAYS: dict[str, Any] = {"config": CONFIG, "timestep": "day", "full_window": True, "warm_up_trading_days": 15}
SPY, THIN, SPLT, IPOX, AUCT = (Asset(symbol) for symbol in ("SPY", "THIN", "SPLT", "IPOX", "AUCT"))
BITCOIN = Asset("BTC", "crypto")

BACKTESTS: dict[str, tuple[Any, str, str, dict[str, Any], dict[str, Any]]] = {
    "minutes": (
        Crossing,
        "2023-11-06",
        "2023-11-08",
        {"assets": [SPY, THIN, SPLT, IPOX], "sleeptime": "1H", "step": "minute", "length": 45},
        MINUTES,
    ),
    "horizons": (
        ManyHorizons,
        "2023-11-21",
        "2023-11-22",
        {"assets": [SPY], "sleeptime": "3H", "requests": [(60, "minute"), (60, "5min"), (10, "hour"), (3, "day")]},
        MINUTES,
    ),
    "days": (
        Crossing,
        "2023-11-06",
        "2023-11-17",
        {"assets": [SPY, AUCT], "sleeptime": "1D", "step": "day", "length": 9},
        DAYS,
    ),
    "chains": (ChainBuyer, "2023-11-06", "2023-11-07", {"assets": [SPY], "sleeptime": "3H"}, MINUTES),
    "crypto": (
        Crossing,
        "2023-11-04",
        "2023-11-05",
        {"assets": [BITCOIN], "sleeptime": "1H", "step": "15min", "length": 12, "market": "24/7"},
        {**MINUTES, "market": "24/7"},
    ),
}

# Of shared bars alone nothing tells the symbols.
ASSETS = [
    *(AssetKey(symbol) for symbol in ("SPY", "THIN", "SPLT", "IPOX", "AUCT")),
    AssetKey("BTC", "crypto", "USD"),
    *(
        AssetKey("SPY", "option", None, "", dt.date(2023, 11, day), strike, right)
        for day in (9, 20)
        for strike in (425.0, 435.0, 440.0)
        for right in ("CALL", "PUT")
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[AlpacaServer]:
    with served(MARKETS["autumn"]()) as server:
        yield server


def backtest(side: Side, server: AlpacaServer, name: str, **environment: str) -> BacktestResult:
    strategy, start, end, parameters, settings = BACKTESTS[name]
    with side.entered(server, **IN_THE_ENVIRONMENT, **environment):
        return run(strategy, side.source_class, side.folder / "run", start, end, dict(parameters), **settings)


@pytest.fixture(scope="module")
def made(server: AlpacaServer, tmp_path_factory: pytest.TempPathFactory) -> Side:
    """Return Lumibot's side with a cache that it has filled itself."""
    side, _ = both_sides(tmp_path_factory.mktemp("alpaca"))
    for name in BACKTESTS:
        backtest(side, server, name)
    return side


@pytest.mark.parametrize(
    ("caches", "names"),
    [
        ("csv files", ("days", "chains")),
        ("shared bars", ("horizons",)),
        pytest.param("csv files", tuple(BACKTESTS), marks=pytest.mark.long),
        pytest.param("both", ("crypto",), marks=pytest.mark.long),
    ],
)
def test_backtests_are_those_of_lumibot_on_its_own_cache(
    caches: str, names: tuple[str, ...], made: Side, server: AlpacaServer, tmp_path: Path
) -> None:
    theirs = made
    if caches == "shared bars":
        theirs = replace(made, folder=tmp_path / "copy")
        shutil.copytree(made.folder / "lumibot", theirs.folder / "lumibot", ignore=shutil.ignore_patterns("*.csv"))
    cache, ours = theirs.folder / "lumibot", both_sides(tmp_path)[1]
    before, storage = snapshot(cache), DuckDBDataStorage(ours.store)
    reasons: dict[str, str] = {}
    with environment(IN_THE_ENVIRONMENT):
        for reader in readers_of(caches, cache):
            reasons |= moved(reader, storage)
    assert reasons == {}
    assert snapshot(cache) == before
    for name in names:
        expected = second_run(theirs, server, name)
        asked = len(server.requests)
        actual = backtest(ours, server, name)
        assert_same_result(expected, actual, fills=0 if name in ("chains", "horizons") else 1)
        assert [(request.path, request.query) for request in server.requests[asked:]] == [], name


def test_shared_bars_are_recognised_by_csv_files_that_the_same_run_deletes(made: Side, tmp_path: Path) -> None:
    cache, storage = tmp_path / "copy", DuckDBDataStorage(tmp_path / "store")
    shutil.copytree(made.folder / "lumibot", cache)
    with environment(IN_THE_ENVIRONMENT):
        outcomes = list(migrate_files(plan_of(cache, ["alpaca"]), storage, delete_verified=True))
    assert {outcome.ending for outcome in outcomes} == {Ending.MIGRATED}
    assert {outcome.kind for outcome in outcomes} >= {"Alpaca bars", "Alpaca shared bars"}
    assert all(outcome.deleted or outcome.left_out for outcome in outcomes)
    assert all(outcome.deleted for outcome in outcomes if outcome.kind != "Alpaca shared bars")


RESULTS: dict[tuple[Path, str], BacktestResult] = {}


def second_run(side: Side, server: AlpacaServer, name: str) -> BacktestResult:
    """Return a backtest of Lumibot's on its own cache, run once for all tests."""
    if (side.folder, name) not in RESULTS:
        RESULTS[side.folder, name] = backtest(side, server, name)
    return RESULTS[side.folder, name]


def readers_of(caches: str, folder: Path) -> list[CacheReader]:
    readers: list[CacheReader] = [AlpacaChainReader(folder)]
    if caches != "shared bars":
        readers.append(AlpacaReader(folder))
    if caches != "csv files":
        readers.append(SharedBarReader(folder, ASSETS if caches == "shared bars" else ()))
    return readers


def test_what_a_file_does_not_show_is_requested_when_it_is_needed(
    made: Side, server: AlpacaServer, tmp_path: Path
) -> None:
    """The minutes of sessions were migrated; a market around the clock has others, which do not count as missing."""
    fresh, ours = both_sides(tmp_path)
    moved(AlpacaReader(made.folder / "lumibot"), DuckDBDataStorage(ours.store))
    start, end = (pd.Timestamp(day, tz="America/New_York").to_pydatetime() for day in ("2023-11-06", "2023-11-07"))
    frames, asked = [], []
    for side in (fresh, ours):
        before = len(server.asked("/v2/stocks/bars"))
        with side.entered(server):
            settings = {"timestep": "minute", "market": "24/7", "full_window": True, "auto_adjust": False}
            source = side.source(start, end, **settings)
            frames.append(source.get_historical_prices_between_dates(base_asset=SPY, timestep="minute"))
        asked.append(len(server.asked("/v2/stocks/bars")) - before)
    pd.testing.assert_frame_equal(*frames, rtol=1e-12)
    assert asked[1] >= 1
    assert (frames[1].between_time("04:00", "09:00")["volume"] > 0).any()
