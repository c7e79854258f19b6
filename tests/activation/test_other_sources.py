"""Lumibot's sources without a counterpart of ours: after `activate()`, their backtests do not change.

All of them run in a process without our changes to Lumibot, and in one with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest

from activation.other_sources import OTHERS, Other, Run, backtests
from parity.backtests import assert_same_result

pytestmark = pytest.mark.xdist_group("other sources")  # the backtests are run once

Runs = Mapping[tuple[str, str], Run]

USUAL = [("thetadata", "days")]
ALL = [*((name, way) for name in OTHERS for way in ("minutes", "days", "all steps")), ("thetadata", "options")]
LONG = [run for run in ALL if run not in USUAL]


def without_and_with_us(folder: Path, wanted: list[tuple[str, str]]) -> tuple[Runs, Runs]:
    fresh = get_context("spawn")
    with ProcessPoolExecutor(1, fresh) as without, ProcessPoolExecutor(1, fresh) as with_us:
        theirs = without.submit(backtests, folder / "theirs", wanted, False)
        mine = with_us.submit(backtests, folder / "mine", wanted, True)
        assert theirs.result()[1] == []
        assert "lumibot_duckdb.sources.shared.benchmark" in mine.result()[1]
        return theirs.result()[0], mine.result()[0]


def assert_same_run(theirs: Run, mine: Run, other: Other) -> None:
    assert_same_result(theirs.result, mine.result, fills=1)
    assert theirs.source_class is mine.source_class is other.source_class
    pd.testing.assert_frame_equal(theirs.benchmark, mine.benchmark, check_exact=True)
    assert len(theirs.benchmark) > 1
    assert theirs.rate == mine.rate > 0.0
    assert theirs.requests == mine.requests
    assert all(theirs.requests.values()), "the provider was asked, and Yahoo"
    assert theirs.files == mine.files
    assert theirs.stores == mine.stores == []


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Runs]:
    """The backtests without our changes, and with them."""
    return without_and_with_us(tmp_path_factory.mktemp("other_sources"), USUAL)


@pytest.mark.parametrize(("name", "way"), USUAL)
def test_a_backtest_on_another_source_is_the_same_as_without_us(name: str, way: str, both: tuple[Runs, Runs]) -> None:
    theirs, mine = (runs[name, way] for runs in both)
    assert_same_run(theirs, mine, OTHERS[name])


@pytest.mark.long
def test_so_are_minutes_many_steps_and_options(tmp_path: Path) -> None:
    theirs, mine = without_and_with_us(tmp_path, LONG)
    for name, way in LONG:
        assert_same_run(theirs[name, way], mine[name, way], OTHERS[name])
