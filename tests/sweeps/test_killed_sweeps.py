"""Sweeps of real backtests whose processes are killed at random, and those that download while they run."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import us_stock_bars
from sources.polygon.market import PolygonMarket
from sources.polygon.server import KEY, PolygonServer
from sweeps.killed_sweeps import RealSweep, own_processes, run_while_killing
from sweeps.plain_record import SCRIPTS
from sweeps.trials.test_random_trials import REDIRECTED
from wire.loopback import Fault

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

DAYS = ("--strategy", "Crossover", "--set", "fast=2:12:1", "--set", "slow=13:60:1", "--set", "share=0.2:1.0")
SYMBOLS = ("SIM001", "SIM002", "SIM003", "SIM004")
RANGES = ("--set", f"symbol={','.join(SYMBOLS)}", "--set", "bars=60,900,2500,6000")


@pytest.fixture(scope="module")
def market() -> PolygonMarket:
    first, end = (pd.Timestamp(day, tz="America/New_York").to_pydatetime() for day in ("2023-01-18", "2023-01-20"))
    market = PolygonMarket(first, end)
    for symbol in SYMBOLS:
        market.bars[symbol, "minute"] = us_stock_bars(symbol, date(2022, 12, 1), date(2023, 1, 21))
    return market


@pytest.fixture
def server(market: PolygonMarket) -> Iterator[PolygonServer]:
    """A server that takes a while for each page of bars."""
    with market.served() as server:
        server.page_limit = 2_000
        server.faults.append(Fault("/v2/aggs", times=10**9, delay=0.05))
        yield server


def of_ranges(folder: Path, server: PolygonServer, name: str = "killed", *more: str) -> RealSweep:
    environment = {
        "TEST_POLYGON": server.url,
        "POLYGON_API_KEY": KEY,
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join(map(str, REDIRECTED)),
    }
    return RealSweep(SCRIPTS / "stock_ranges.py", [*RANGES, *more, "--jobs", "2"], folder, environment, name)


@pytest.fixture(scope="module")
def undisturbed(market: PolygonMarket, tmp_path_factory: pytest.TempPathFactory) -> RealSweep:
    """The sweep of ranges that nothing happens to."""
    with market.served() as server:
        sweep = of_ranges(tmp_path_factory.mktemp("undisturbed"), server)
        assert sweep.run() == 0, sweep.output()
    return sweep


def assert_nothing_is_left(folder: Path) -> None:
    """All processes of a sweep have ended a moment after it was killed."""
    deadline = time.monotonic() + 10
    while left := own_processes(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.parametrize("seed", [1, 2])
def test_200_trials_whose_processes_are_killed_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    (tmp_path / "temporary").mkdir()
    environment = {"TMPDIR": str(tmp_path / "temporary")}
    options = [*DAYS, "--random", "200", "--seed", str(seed), "--jobs", "2"]
    sweep = RealSweep(SCRIPTS / "crossover.py", options, tmp_path / "killed", environment)
    killed = run_while_killing(sweep, random.Random(seed), kills=40, pause=(0.1, 0.4))
    print(killed, sweep.statuses())
    assert len(killed) >= 15
    sweep.finish()
    assert_nothing_is_left(sweep.folder)
    plain = RealSweep(SCRIPTS / "crossover.py", options, tmp_path / "plain", environment)
    assert plain.run() == 0
    searched = ("fast", "slow", "share")
    assert list(sweep.statuses()) == list(range(1, 201))
    assert sweep.outcomes(searched) == plain.outcomes(searched)
    assert list((tmp_path / "temporary").glob("lumibot-duckdb-*sweep-*")) == []
    assert tempfile.gettempdir() != str(tmp_path / "temporary")


@pytest.mark.parametrize("seed", [1, 2])
def test_downloads_of_trials_that_are_killed(
    tmp_path: Path, server: PolygonServer, undisturbed: RealSweep, seed: int
) -> None:
    """Most ranges are requested by no trial before the one that is killed while it downloads them."""
    sweep = of_ranges(tmp_path / "killed", server)
    killed = run_while_killing(sweep, random.Random(seed), kills=8, pause=(0.2, 1.0))
    print(killed, sweep.statuses())
    assert killed
    sweep.finish()
    assert_nothing_is_left(sweep.folder)
    assert sweep.outcomes(("symbol", "bars")) == undisturbed.outcomes(("symbol", "bars"))
    assert DuckDBDataStorage(sweep.store).verify().findings == []


def test_two_sweeps_that_download_into_one_store(tmp_path: Path, server: PolygonServer, undisturbed: RealSweep) -> None:
    """They begin at the same time, and need the same ranges in another order."""
    sweeps = [of_ranges(tmp_path, server, f"of-{seed}", "--random", "16", "--seed", str(seed)) for seed in (1, 2)]
    processes = [each.start() for each in sweeps]
    assert [each.wait(600) for each in processes] == [0, 0], [each.output() for each in sweeps]
    for each in sweeps:
        assert list(each.statuses()) == list(range(1, 17))
        assert each.outcomes(("symbol", "bars")) == undisturbed.outcomes(("symbol", "bars"))
    storage = DuckDBDataStorage(sweeps[0].store)
    assert storage.verify().findings == []
    requests = len(server.requests)
    again = of_ranges(tmp_path, server, "again")
    assert again.run() == 0
    assert again.outcomes(("symbol", "bars")) == undisturbed.outcomes(("symbol", "bars"))
    bars = [each for each in server.requests[requests:] if each.path.startswith("/v2/aggs")]
    assert bars == []
