"""Lumibot's sources that we have nothing for: after `activate()` their backtests are as without us.

All of them run in a process that has nothing of ours that changes Lumibot, and in one with all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest

from parity.backtests import assert_same_result
from parity.other_sources import OTHERS, WAYS, Other, Run, backtests

pytestmark = pytest.mark.xdist_group("other sources")  # the backtests are run once

Runs = Mapping[tuple[str, str], Run]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("other_sources")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Runs, Runs]:
    """All backtests without us, and all with us."""
    fresh = get_context("spawn")
    with ProcessPoolExecutor(1, fresh) as without, ProcessPoolExecutor(1, fresh) as with_us:
        theirs = without.submit(backtests, folder / "theirs", False)
        mine = with_us.submit(backtests, folder / "mine", True)
        assert theirs.result()[1] == []
        assert "lumibot_duckdb.backtesting.benchmark" in mine.result()[1]
        return theirs.result()[0], mine.result()[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.name)
def test_a_backtest_on_another_source_is_the_same_as_without_us(
    other: Other, way: str, both: tuple[Runs, Runs]
) -> None:
    theirs, mine = (runs[other.name, way] for runs in both)
    assert_same_result(theirs.result, mine.result, fills=1)
    assert theirs.source_class is mine.source_class is other.source_class
    pd.testing.assert_frame_equal(theirs.benchmark, mine.benchmark, check_exact=True)
    assert len(theirs.benchmark) > 1
    assert theirs.rate == mine.rate > 0.0
    assert theirs.requests == mine.requests
    assert all(theirs.requests.values()), "the provider was asked, and Yahoo"
    assert theirs.files == mine.files


def test_no_store_is_written(both: tuple[Runs, Runs], folder: Path) -> None:
    assert list(folder.rglob("cache")) != []
    assert list(folder.rglob("*.duckdb*")) == []
