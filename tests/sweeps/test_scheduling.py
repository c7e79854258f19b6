"""At most so many trials are in flight, each runs once, and a request to stop waits for those that run."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.scheduling import run_queue
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.search_queue import SearchQueue
from lumibot_duckdb.sweeps.trials.trial import Trial
from sweeps.fakes import Backtests, Listed, record

SHARPE = Objective("sharpe")
VALUES = [{"x": number} for number in range(1, 13)]


@pytest.mark.parametrize("jobs", [1, 3, 20])
def test_each_trial_runs_once_and_no_more_at_a_time_than_jobs(jobs: int) -> None:
    sampler, backtests = Listed(VALUES), Backtests(0.005)
    stored: dict[int, TrialRecord] = {}
    with ThreadPoolExecutor(30) as pool:
        complete = run_queue(
            SearchQueue(sampler, SHARPE), lambda trial: pool.submit(backtests, trial), jobs, stored.update
        )
    assert complete
    assert {number: found.objective for number, found in stored.items()} == sampler.told
    assert sampler.told == {number: float(number) for number in range(1, 13)}
    assert sorted(trial.number for trial in backtests.trials) == list(range(1, 13))
    assert backtests.most <= jobs


def test_trials_that_are_stored_do_not_run_again() -> None:
    sampler, backtests = Listed(VALUES), Backtests()
    stored: dict[int, TrialRecord] = {}
    with ThreadPoolExecutor(2) as pool:
        queue = SearchQueue(sampler, SHARPE)
        for number in (1, 2, 3, 12):
            queue.know(Trial(number, VALUES[number - 1]), 5.0)
        assert run_queue(queue, lambda trial: pool.submit(backtests, trial), 2, stored.update)
    assert sorted(stored) == list(range(4, 12))


def test_a_failed_trial_has_no_objective_and_stops_nothing() -> None:
    sampler, backtests = Listed([{"x": 1}, {}, {"x": 3}]), Backtests()
    stored: dict[int, TrialRecord] = {}
    with ThreadPoolExecutor(1) as pool:
        assert run_queue(SearchQueue(sampler, SHARPE), lambda trial: pool.submit(backtests, trial), 1, stored.update)
    assert sampler.told == {1: 1.0, 2: None, 3: 3.0}
    assert [stored[number].status for number in (1, 2, 3)] == ["complete", "failed", "complete"]


def test_statistics_of_a_failed_trial_are_no_objective() -> None:
    queue = SearchQueue(Listed(VALUES), SHARPE)
    trial = queue.next()
    assert trial is not None
    assert queue.take(trial, record({"x": 1}, 9.0, "timeout")).objective is None


def test_a_request_to_stop_waits_for_running_trials_and_keeps_them() -> None:
    """The trials end only after the request."""
    stop, started = threading.Event(), threading.Semaphore(0)
    stored: dict[int, TrialRecord] = {}

    def backtest(trial: Trial) -> TrialRecord:
        started.release()
        assert stop.wait(10)
        return record(trial.values, 1.0)

    def stop_soon() -> None:
        for _ in range(2):
            assert started.acquire(timeout=10)
        stop.set()

    threading.Thread(target=stop_soon).start()
    with ThreadPoolExecutor(2) as pool:
        queue = SearchQueue(Listed(VALUES), SHARPE)
        complete = run_queue(queue, lambda trial: pool.submit(backtest, trial), 2, stored.update, stop.is_set)
    assert not complete
    assert sorted(stored) == [1, 2]


def test_a_stop_after_the_last_trial_leaves_the_search_complete() -> None:
    stored: dict[int, TrialRecord] = {}
    with ThreadPoolExecutor(1) as pool:
        queue = SearchQueue(Listed(VALUES[:2]), SHARPE)
        assert run_queue(
            queue, lambda trial: pool.submit(Backtests(), trial), 1, stored.update, lambda: len(stored) == 2
        )


def test_an_error_of_the_executor_ends_the_run() -> None:
    def submit(trial: Trial) -> Future[TrialRecord]:
        future: Future[TrialRecord] = Future()
        future.set_exception(RuntimeError("the cluster is gone"))
        return future

    with pytest.raises(RuntimeError, match="the cluster is gone"):
        run_queue(SearchQueue(Listed(VALUES), SHARPE), submit, 2, lambda records: None)


def test_results_are_written_while_the_next_trials_run() -> None:
    """The second trial has started when the first record is handed over, though there is one worker."""
    started: list[threading.Event] = [threading.Event(), threading.Event()]
    seen: list[bool] = []

    def backtest(trial: Trial) -> TrialRecord:
        started[trial.number - 1].set()
        return record(trial.values, 1.0)

    def finished(records: object) -> None:
        seen.append(started[1].wait(10))

    with ThreadPoolExecutor(1) as pool:
        queue = SearchQueue(Listed(VALUES[:2]), SHARPE)
        assert run_queue(queue, lambda trial: pool.submit(backtest, trial), 1, finished)
    assert seen == [True, True]
