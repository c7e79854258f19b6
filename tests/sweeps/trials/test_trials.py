"""Trials of one script, each in a process that is forked from a single one, compared with the script run alone."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from lumibot_duckdb.sweeps.errors import UnknownParameterError
from lumibot_duckdb.sweeps.trials import running
from lumibot_duckdb.sweeps.trials.running import TrialSettings, close, describe, run_trial
from lumibot_duckdb.sweeps.trials.target import ScriptTarget
from lumibot_duckdb.sweeps.trials.trial import Limits, Span, Trial
from sweeps.plain_record import SCRIPTS, assert_same_results, run_alone

pytestmark = pytest.mark.xdist_group("sweeps: trials")

SCRIPT = SCRIPTS / "crossover.py"
VALUES = {"weight": 0.5, "fast": 3, "slow": 15, "share": 0.75, "kind": "10"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptTarget]:
    folder = tmp_path_factory.mktemp("sweep")
    environment = {"LUMIBOT_DISABLE_DOTENV": "1"}
    target = ScriptTarget(
        str(SCRIPT), strategy="Crossover", store=folder / "s.duckdb", environment=environment, folder=folder
    )
    yield target
    close(target)


def test_a_target_is_described(target: ScriptTarget) -> None:
    found = describe(target)
    assert (found.strategy, found.source) == ("Crossover", "PandasDataBacktesting")
    assert (found.start, found.end) == (datetime(2020, 3, 2), datetime(2020, 9, 30))
    own = {"fast": 5, "slow": 20, "share": 0.9, "does": None, "on_day": 3, "kind": "sma"}
    assert found.parameters == {**own, "given": 1.5, "weight": 1.0}
    assert (found.is_forked, found.reason) == (True, "")


def test_trials_equal_the_script_run_alone(target: ScriptTarget, tmp_path: Path) -> None:
    trials = [Trial(1, VALUES), Trial(2, {"fast": 8}), Trial(3, VALUES)]
    with ThreadPoolExecutor(2) as pool:
        first, other, again = pool.map(lambda trial: run_trial(target, trial), trials)
    alone = run_alone(SCRIPT, VALUES, tmp_path)
    assert_same_results(first, alone)
    assert_same_results(again, alone)
    assert other.trades != first.trades
    assert {type(first.parameters[name]) for name in ("fast", "slow")} == {int}
    assert first.parameters["kind"] == "10"
    assert first.seconds > 0
    assert first.cpu_seconds > 0
    assert first.own_memory is not None
    assert 0 < first.own_memory < first.peak_memory
    assert set(first.versions) >= {"python", "lumibot", "duckdb"}
    assert (first.error, first.traceback) == (None, None)
    assert target.folder is not None
    assert [each.name for each in target.folder.iterdir() if each.name != "logs"] == []


def test_an_unknown_parameter_is_refused_with_a_suggestion(target: ScriptTarget) -> None:
    with pytest.raises(UnknownParameterError, match=r"Crossover has no parameter 'fsat': did you mean 'fast'\?"):
        run_trial(target, Trial(1, {"fsat": 1}))
    with pytest.raises(TypeError, match=r"fast=\[1\] is of type list: a parameter of a trial is a number"):
        run_trial(target, Trial(1, {"fast": [1]}))  # type: ignore[dict-item]


def test_a_span_replaces_the_start_and_the_end(target: ScriptTarget) -> None:
    span = Span(datetime(2020, 6, 1), datetime(2020, 7, 31))
    record = run_trial(target, Trial(1, {}, span))
    assert record.equity is not None
    times = record.equity["time"].to_pylist()
    assert datetime(2020, 6, 1) <= times[0].replace(tzinfo=None) < datetime(2020, 6, 3)
    assert datetime(2020, 7, 30) <= times[-1].replace(tzinfo=None) < datetime(2020, 8, 1)


def test_a_span_does_not_include_the_first_bar_of_the_next_one(target: ScriptTarget) -> None:
    # Midnight in New York, at which the script's daily bars begin.
    record = run_trial(target, Trial(1, {}, Span(datetime(2020, 6, 1), datetime(2020, 7, 1))))
    assert record.equity is not None
    assert max(record.equity["time"].to_pylist()).astimezone(ZoneInfo("America/New_York")).date() == date(2020, 6, 30)


def test_an_error_of_the_strategy_is_recorded_without_keys(target: ScriptTarget) -> None:
    record = run_trial(target, Trial(1, {"does": "raise"}))
    assert record.status == "failed"
    assert record.error == "ValueError: no connection with [hidden]"
    assert record.traceback is not None
    assert "in misbehave" in record.traceback
    assert "Last lines of the output:" in record.traceback
    assert "about to fail with [hidden]" in record.traceback
    assert "s3cret" not in record.traceback
    assert record.parameters["does"] == "raise"


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("exit", "it ended with: that is all"),
        ("fail_at_end", "RuntimeError: on_strategy_end raised an error, which is in the output"),
    ],
)
def test_a_backtest_that_lumibot_takes_for_ended_has_failed(target: ScriptTarget, does: str, reason: str) -> None:
    record = run_trial(target, Trial(1, {"does": does}, Span(datetime(2020, 6, 1), datetime(2020, 6, 10))))
    assert (record.status, record.error) == ("failed", reason)
    assert record.equity is not None
    assert record.equity.num_rows >= 2
    assert "the end of it" in (record.traceback or "") or does == "exit"


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("os_exit", "its process ended with code 7 before there was a result"),
        ("segfault", "its process was killed by SIGSEGV"),
    ],
)
def test_a_process_that_ends_by_itself_costs_one_trial(target: ScriptTarget, does: str, reason: str) -> None:
    record = run_trial(target, Trial(1, {"does": does}))
    assert record.status == "crashed"
    assert record.error is not None
    assert record.error.startswith(reason)
    assert record.parameters["does"] == does
    assert record.cpu_seconds > 0


def test_a_trial_that_hangs_is_killed(target: ScriptTarget) -> None:
    record = run_trial(target, Trial(1, {"does": "hang"}), Limits(seconds=1.0))
    assert record.status == "timeout"
    assert record.error == "it was killed because it had not ended after 1 seconds"


def test_a_trial_is_ended_by_its_values(target: ScriptTarget) -> None:
    values: list[tuple[int, int, float]] = []

    def is_hopeless(number: int, day: int, value: float) -> bool:
        values.append((number, day, value))
        return day == 2

    record = run_trial(target, Trial(9, {"does": "hang", "on_day": 5}), intermediate=is_hopeless)
    assert (record.status, record.error) == ("pruned", "it was ended after 3 days")
    assert [each[:2] for each in values[:3]] == [(9, 0), (9, 1), (9, 2)]
    whole = run_trial(target, Trial(1, {}, Span(datetime(2020, 3, 2), datetime(2020, 3, 10))))
    assert whole.equity is not None
    ends = {row["time"].date(): row["value"] for row in whole.equity.to_pylist()}
    assert [value for *_, value in values[:3]] == list(ends.values())[:3]


def test_a_trial_that_needs_too_much_memory_is_killed(target: ScriptTarget) -> None:
    record = run_trial(target, Trial(1, {"does": "eat"}), Limits(seconds=60, memory=250_000_000))
    assert record.status == "memory"
    assert record.own_memory is not None
    assert record.own_memory > 250_000_000


@pytest.mark.long
def test_files_are_written_only_if_they_are_requested(target: ScriptTarget, tmp_path: Path) -> None:
    plain = run_trial(target, Trial(5, {}))
    settings = TrialSettings(artifacts=tmp_path / "files")
    record = run_trial(target, Trial(5, {}), settings=settings)
    assert record.trades == plain.trades
    assert record.statistics == plain.statistics
    files = {each.name for each in (tmp_path / "files" / "trial-5").iterdir()}
    assert files >= {"stats.csv", "log.csv", "settings.json", "trades.csv", "tearsheet_metrics.json"}
    assert target.folder is not None
    logs = target.folder / "logs"
    assert not any("Crossover" in each.name for each in logs.rglob("*"))


@pytest.mark.long
def test_trials_run_again_if_the_process_that_forked_them_is_killed(target: ScriptTarget) -> None:
    """All of them, whichever notices it first."""
    describe(target)
    (process,) = (each for waiting in running._processes.values() for each in waiting)
    with ThreadPoolExecutor(8) as pool:
        ended = [pool.submit(run_trial, target, Trial(n, {"does": "hang"}), Limits(seconds=3)) for n in range(8)]
        deadline = time.monotonic() + 60
        while len(process.inboxes) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(process.process_id, signal.SIGKILL)
        assert [each.result().status for each in ended] == ["timeout"] * 8
    (other,) = (each for waiting in running._processes.values() for each in waiting if not each.has_ended)
    assert other.process_id != process.process_id
    assert not process.folder.exists()


def test_targets_and_records_can_be_sent_to_other_processes(target: ScriptTarget) -> None:
    copy = pickle.loads(pickle.dumps(target))
    assert copy.identity == target.identity
    record = run_trial(copy, Trial(1, {}, Span(datetime(2020, 6, 1), datetime(2020, 6, 10))))
    assert pickle.loads(pickle.dumps(record)) == record
    assert len([each for waiting in running._processes.values() for each in waiting]) == 1
