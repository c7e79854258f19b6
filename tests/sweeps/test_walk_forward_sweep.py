"""Walk-forward sweeps: each window's best parameters are tested in it, and an interruption changes no result."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import sweeps
from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.sweep import Sweep
from lumibot_duckdb.sweeps.trials.trial import Span, Trial
from lumibot_duckdb.sweeps.walk_forward.result import joined_record
from sweeps.fakes import END, START, STARTED, FakeTrials, Strategy, backtested, daily_of, record

pytestmark = pytest.mark.xdist_group("statistics")  # importing quantstats takes seconds

SPACE = {"x": [0, 1, 2, 3, 4], "label": ["a"]}
WINDOWS = [
    (datetime(2020, 1, 1), datetime(2021, 1, 1), datetime(2021, 4, 1)),
    (datetime(2020, 4, 1), datetime(2021, 4, 1), datetime(2021, 7, 1)),
    (datetime(2020, 7, 1), datetime(2021, 7, 1), datetime(2021, 10, 1)),
    (datetime(2020, 10, 1), datetime(2021, 10, 1), datetime(2022, 1, 1)),
]
"""The windows of train=12M,test=3M over START to END: the starts of search and test, and the end of the test."""
BEST_X = [1, 4, 2, 0]
"""In each window, the x that is the month of its start modulo 5: see `sharpe_of`."""
STRIDE = 6


def swept(folder: Path, **others: Any) -> Sweep:
    return sweeps.run(
        Strategy,
        SPACE,
        START,
        END,
        **{
            "results": folder / "found.duckdb",
            "store": folder / "store",
            "jobs": 3,
            "walk_forward": "train=12M,test=3M",
            **others,
        },
    )


def test_the_best_of_each_window_is_tested_in_it(fake_trials: FakeTrials, tmp_path: Path) -> None:
    sweep = swept(tmp_path)
    records = sweep.records
    assert sorted(records) == list(range(1, 4 * STRIDE + 2))
    spans = {trial.number: trial.span for trial in fake_trials.trials}
    for index, (start, middle, end) in enumerate(WINDOWS):
        numbers = range(index * STRIDE + 1, (index + 1) * STRIDE)
        assert {(records[number].phase, records[number].window) for number in numbers} == {("in-sample", index + 1)}
        assert {spans[number] for number in numbers} == {Span(start, middle)}
        test = records[(index + 1) * STRIDE]
        assert (test.phase, test.window) == ("out-of-sample", index + 1)
        assert spans[(index + 1) * STRIDE] == Span(middle, end)
        assert test.parameters["x"] == BEST_X[index]
    assert sweep.best is not None
    assert sweep.best.parameters == {"x": 0, "label": "a"}
    assert [each.counts for each in sweep.stability] == [((1, 1), (4, 1), (2, 1), (0, 1)), (("a", 4),)]


def test_the_tests_are_joined_as_one_backtest(fake_trials: FakeTrials, tmp_path: Path) -> None:
    joined = swept(tmp_path).out_of_sample
    assert joined is not None
    assert joined.daily_returns is not None
    assert joined.equity is not None
    tests = [Trial(1, {"x": x}, Span(middle, end)) for x, (_, middle, end) in zip(BEST_X, WINDOWS, strict=True)]
    days = [day for test in tests for day in daily_of(test)[0]]
    returns = [each for test in tests for each in daily_of(test)[1]]
    assert joined.daily_returns.column("day").to_pylist() == days
    assert joined.daily_returns.column("value").to_pylist() == returns
    growth = np.cumprod(1 + np.array(returns))
    assert joined.equity.column("value").to_pylist() == pytest.approx((1000 * growth).tolist())
    statistics = joined.statistics
    assert statistics["total_return"] == pytest.approx(growth[-1] - 1)
    assert statistics["end_value"] == pytest.approx(1000 * growth[-1])
    assert (statistics["closed_trades"], statistics["win_rate"]) == (8.0, 0.5)
    excess = np.array(returns) - (1.03 ** (1 / 365) - 1)
    assert joined.objective == pytest.approx(excess.mean() / excess.std(ddof=1) * 365**0.5)
    assert (joined.status, joined.phase, joined.window, joined.risk_free_rate) == ("complete", "joined", None, 0.03)


class Stops:
    """Presses Ctrl-C when a number of trials have started, and fails trials whose numbers are given."""

    def __init__(self, after: int, failing: frozenset[int]) -> None:
        self.after = after
        self.failing = failing

    def __call__(self, trial: Trial) -> TrialRecord:
        self.after -= 1
        if self.after == 0:
            os.kill(os.getpid(), signal.SIGINT)
        found = backtested(trial)
        return replace(found, status="failed") if trial.number in self.failing else found


def results(folder: Path) -> dict[int, Any]:
    """All trials without what differs from run to run."""
    records = ResultsDatabase(folder / "found.duckdb").records("wf")
    return {number: replace(each, started=STARTED, versions={}) for number, each in records.items()}


@pytest.mark.long
@given(
    stops=st.lists(st.integers(1, 30), max_size=3),
    failing=st.frozensets(st.integers(1, 4 * STRIDE), max_size=4),
    jobs=st.integers(1, 4),
)
@examples(40)
def test_interruptions_change_no_result(stops: list[int], failing: frozenset[int], jobs: int) -> None:
    check_interruptions(stops, failing, jobs)


def test_an_interruption_changes_no_result() -> None:
    check_interruptions([9, 4], frozenset({2, 2 * STRIDE}), 2)


def check_interruptions(stops: list[int], failing: frozenset[int], jobs: int) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        fake, folder = FakeTrials(), Path(name)
        fake.install(patch.setattr)
        (folder / "whole").mkdir()
        fake.run = Stops(0, failing)
        swept(folder / "whole", name="wf")
        for stop in [*stops, 0]:
            fake.run = Stops(stop, failing)
            is_begun = ResultsDatabase(folder / "found.duckdb").has_sweep("wf")
            try:
                swept(folder, name="wf", resume=is_begun, jobs=jobs)
            except KeyboardInterrupt:
                continue
        assert results(folder) == results(folder / "whole")


def test_a_retry_does_not_touch_windows_that_were_tested(fake_trials: FakeTrials, tmp_path: Path) -> None:
    fake_trials.run = Stops(0, frozenset({2, 2 * STRIDE}))  # in the search of window 1, and the test of window 2
    first = swept(tmp_path, name="wf")
    joined = first.out_of_sample
    assert joined is not None
    assert (joined.status, joined.error, joined.equity.num_rows if joined.equity else 0) == (
        "failed",
        "the test of window 2 failed",
        0,
    )
    fake_trials.trials.clear()
    fake_trials.run = backtested
    sweep = swept(tmp_path, name="wf", resume=True, retry_failed=True)
    assert [each.number for each in fake_trials.trials] == [2 * STRIDE]
    assert sweep.records[2].status == "failed"
    joined = sweep.out_of_sample
    assert joined is not None
    assert (joined.status, joined.error) == ("complete", None)


def test_a_window_without_a_best_trial_is_not_invested(fake_trials: FakeTrials, tmp_path: Path) -> None:
    def run(trial: Trial) -> TrialRecord:
        found = backtested(trial)
        return replace(found, statistics={}) if STRIDE < trial.number < 2 * STRIDE else found

    fake_trials.run = run
    sweep = swept(tmp_path)
    assert 2 * STRIDE not in sweep.records
    joined = sweep.out_of_sample
    assert joined is not None
    assert joined.equity is not None
    times = joined.equity.column("time").to_pylist()
    assert [(time.year, time.month) for time in times[::3]] == [(2021, 1), (2021, 7), (2021, 10)]
    assert joined.status == "complete"


def test_no_window_with_a_test_has_no_joined_result() -> None:
    joined = joined_record([None, None], Objective("sharpe"), STARTED)
    assert joined.status == "failed"
    assert joined.error is not None
    assert joined.error.startswith("no window has a test")


@pytest.mark.long
def test_optuna_searches_each_window(fake_trials: FakeTrials, tmp_path: Path) -> None:
    sweep = swept(tmp_path, search="optuna", trials=4, jobs=1, name="wf")
    assert [sum(each.window == window for each in sweep.records.values()) for window in range(1, 5)] == [5] * 4


def test_joined_statistics_of_a_single_day_have_no_ratio() -> None:
    one = record({}, 1.0)
    one = replace(
        one,
        equity=pa.table({"time": [STARTED], "value": [10.0], "cash": [10.0]}),
        daily_returns=pa.table({"day": [STARTED.date()], "value": [0.0], "benchmark": [0.0]}),
    )
    joined = joined_record([one], Objective("sharpe"), STARTED)
    assert (joined.objective, joined.statistics["end_value"]) == (None, 10.0)
