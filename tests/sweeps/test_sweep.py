"""Sweeps in Python: every trial is stored once, an interrupted sweep continues, and a changed one does not."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disks import mounted_disk
from lumibot_duckdb import sweeps
from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.results.errors import InvalidResultError, SweepExistsError, SweepNotFoundError
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.storage.errors import DiskFullError, StoreBusyError, StoreWriteError
from lumibot_duckdb.sweeps import result_writer
from lumibot_duckdb.sweeps.errors import (
    HopelessSweepError,
    SweepClosedError,
    SweepError,
    SweepRunningError,
    UnknownParameterError,
)
from lumibot_duckdb.sweeps.result_writer import ResultWriter
from lumibot_duckdb.sweeps.resuming import ChangedSweepError
from lumibot_duckdb.sweeps.search.dimensions import Interval
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.sweep import Sweep
from lumibot_duckdb.sweeps.sweep_lock import sweep_lock
from lumibot_duckdb.sweeps.trials.trial import Trial
from sweeps.fakes import END, START, FakeTrials, Strategy, backtested, record, sharpe_of
from terminals import terminal

SPACE: dict[str, Any] = {"x": [1, 2, 3], "y": [0.5, 1.5], "label": ["a", "b"]}
MOST = 12
OPTUNA = pytest.mark.xdist_group("optuna")  # it is imported once


def swept(folder: Path, space: Mapping[str, Any] = SPACE, **others: Any) -> Sweep:
    return sweeps.run(
        Strategy,
        space,
        START,
        END,
        **{"results": folder / "found.duckdb", "store": folder / "store", "jobs": 2, **others},
    )


def stored(folder: Path, name: str = "Strategy-1") -> dict[int, TrialRecord]:
    return ResultsDatabase(folder / "found.duckdb").records(name)


def interrupted_after(number: int, fake: FakeTrials) -> None:
    """Let Ctrl-C be pressed while the trial that is the `number`-th to start runs."""
    started = threading.Semaphore(number - 1)

    def run(trial: Trial) -> TrialRecord:
        if not started.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        return backtested(trial)

    fake.run = run


def test_all_trials_are_stored_with_their_objective(fake_trials: FakeTrials, tmp_path: Path) -> None:
    sweep = swept(tmp_path)
    assert (sweep.name, sweep.status, sweep.path) == ("Strategy-1", "complete", tmp_path / "found.duckdb")
    trials = sweep.trials
    values = [{"x": x, "y": y, "label": label} for x in SPACE["x"] for y in SPACE["y"] for label in SPACE["label"]]
    assert [{name: each[f"param_{name}"] for name in SPACE} for each in trials.to_dict("records")] == values
    assert trials["objective"].tolist() == [sharpe_of(Trial(1, each)) for each in values]
    assert trials["number"].tolist() == list(range(1, MOST + 1))
    best = sweep.best
    assert best is not None
    assert (best.number, best.parameters, best.objective) == (3, {"x": 1, "y": 1.5, "label": "a"}, -1 + 0.015)


def test_trials_read_the_store_as_of_one_moment_after_the_first_has_downloaded(
    fake_trials: FakeTrials, tmp_path: Path
) -> None:
    fake_trials.source = "YahooDataBacktesting"
    swept(tmp_path)
    assert fake_trials.prepared == [Trial(1, {"x": 1, "y": 0.5, "label": "a"})]
    moments = {each.as_of for each in fake_trials.settings}
    assert moments == {ResultsDatabase(tmp_path / "found.duckdb").sweep("Strategy-1").record.as_of}
    assert None not in moments


def test_frames_of_the_script_are_not_downloaded(fake_trials: FakeTrials, tmp_path: Path) -> None:
    swept(tmp_path)
    assert fake_trials.prepared == []


def test_progress_shows_counts_and_the_best_so_far(
    fake_trials: FakeTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last trials wait until the line has been drawn."""
    drawn = threading.Event()

    def run(trial: Trial) -> TrialRecord:
        if trial.number > 3:
            assert drawn.wait(20)
        return replace(backtested(trial), status="failed" if trial.number == 2 else "complete")

    fake_trials.run = run
    with terminal(monkeypatch) as shown:

        def wait() -> None:
            shown.wait("3 done, 1 failed, best sharpe -0.985 (x=1")
            drawn.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        swept(tmp_path)
        waiting.join()
    assert shown.left.strip() == ""
    assert 25 in shown.percentages


def test_the_lowest_value_is_the_best_if_it_is_minimised(fake_trials: FakeTrials, tmp_path: Path) -> None:
    best = swept(tmp_path, objective="sharpe", direction="minimize").best
    assert best is not None
    assert best.parameters == {"x": 3, "y": 0.5, "label": "a"}


def test_only_combinations_that_meet_the_conditions_run(fake_trials: FakeTrials, tmp_path: Path) -> None:
    sweep = swept(tmp_path, where=["x + y > 3", "label == 'b'"])
    assert [each.parameters["x"] for each in sweep.records.values()] == [2, 3, 3]


@OPTUNA
def test_random_and_optuna_run_so_many_trials(fake_trials: FakeTrials, tmp_path: Path) -> None:
    for kind in ("random", "optuna"):
        sweep = swept(tmp_path, search=kind, trials=5, name=kind, jobs=1)
        assert len(sweep.records) == 5
        assert len({tuple(each.parameters.values()) for each in sweep.records.values()}) == 5


@OPTUNA
def test_hopeless_trials_end_early(fake_trials: FakeTrials, tmp_path: Path) -> None:
    """With these pruners, the growth since the first day has to stay above a limit; the last day loses 2 %."""
    options: dict[str, Any] = {"search": "optuna", "trials": 8, "jobs": 1, "pruner": "threshold:lower=1.015"}
    sweep = swept(tmp_path, {"x": range(9)}, **options)
    statuses = {each.parameters["x"]: each.status for each in sweep.records.values()}
    assert set(statuses.values()) == {"pruned"}  # all begin with a growth of 1
    options["pruner"] = "threshold:lower=0.995"
    sweep = swept(tmp_path, {"x": range(9)}, **options)
    statuses = {each.parameters["x"]: each.status for each in sweep.records.values()}
    assert {status for x, status in statuses.items() if x >= 2} == {"complete"}
    assert {status for x, status in statuses.items() if x < 2} <= {"pruned"}
    assert [each.objective for each in sweep.records.values() if each.status == "pruned"] in ([], [None], [None, None])
    fake_trials.trials.clear()
    swept(tmp_path, {"x": range(9)}, name="Strategy-2", resume=True, retry_failed=True, **options)
    assert fake_trials.trials == []


@OPTUNA
def test_windows_are_pruned_in_their_own_searches(fake_trials: FakeTrials, tmp_path: Path) -> None:
    """The last day loses 2 %, so every trial of a search ends there; a test never does."""
    options: dict[str, Any] = {"search": "optuna", "trials": 2, "jobs": 1, "walk_forward": "train=12M,test=6M"}
    sweep = swept(tmp_path, {"x": [0, 1, 2, 3]}, pruner="threshold:upper=1.0", **options)
    assert {each.status for each in sweep.records.values() if each.phase == "in-sample"} <= {"complete", "pruned"}
    assert "pruned" in {each.status for each in sweep.records.values()}
    assert {each.status for each in sweep.records.values() if each.phase == "out-of-sample"} <= {"complete"}


def test_names_count_on_and_none_is_taken_twice(fake_trials: FakeTrials, tmp_path: Path) -> None:
    assert [swept(tmp_path, {"x": 1}).name for _ in range(2)] == ["Strategy-1", "Strategy-2"]
    with pytest.raises(SweepExistsError, match=r"there is a sweep Strategy-1 in .*choose another name .*--resume"):
        swept(tmp_path, {"x": 1}, name="Strategy-1")
    assert len(fake_trials.trials) == 2


def test_ctrl_c_keeps_running_trials_and_the_sweep_continues(fake_trials: FakeTrials, tmp_path: Path) -> None:
    interrupted_after(4, fake_trials)
    with pytest.raises(KeyboardInterrupt, match=r"of 12 trials are stored; the same command with --resume --name S"):
        swept(tmp_path)
    first = stored(tmp_path)
    assert 4 <= len(first) <= 6
    assert len(first) == len(fake_trials.trials)
    assert not fake_trials.closed.is_set()
    assert Sweep("Strategy-1", tmp_path / "found.duckdb").status == "interrupted"

    fake_trials.run = backtested
    sweep = swept(tmp_path, name="Strategy-1", resume=True)
    assert sweep.status == "complete"
    assert sorted(trial.number for trial in fake_trials.trials) == list(range(1, MOST + 1))
    assert sorted(sweep.records) == list(range(1, MOST + 1))
    as_of = {each.as_of for each in fake_trials.settings}
    assert len(as_of) == 1


def test_a_second_ctrl_c_does_not_wait(fake_trials: FakeTrials, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The trials would run until they are killed, as `close` does; nothing of them is stored.

    Lumibot's trader, which a backtest of the same process may have run, leaves a handler behind that raises nothing.
    """
    before = signal.signal(signal.SIGINT, print)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    pressed: list[int] = []

    def run(trial: Trial) -> TrialRecord:
        if trial.number > 2:
            if trial.number == 3:
                while len(stored(tmp_path)) < 2:
                    time.sleep(0.05)
                while len(pressed) < 10 and not fake_trials.closed.is_set():
                    os.kill(os.getpid(), signal.SIGINT)
                    pressed.append(signal.SIGINT)
                    fake_trials.closed.wait(2)  # two that arrive while a file is written would be one
            assert fake_trials.closed.wait(30)
            raise SweepClosedError
        return backtested(trial)

    fake_trials.run = run
    with pytest.raises(KeyboardInterrupt, match="2 of 12 trials are stored"):
        swept(tmp_path)
    assert fake_trials.closed.is_set()
    assert len(pressed) > 1
    assert sorted(stored(tmp_path)) == [1, 2]
    assert signal.getsignal(signal.SIGINT) is print


@OPTUNA
def test_an_optuna_search_continues_with_what_it_knows(fake_trials: FakeTrials, tmp_path: Path) -> None:
    interrupted_after(3, fake_trials)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path, search="optuna", trials=8, jobs=1)
    fake_trials.run = backtested
    sweep = swept(tmp_path, search="optuna", trials=8, jobs=1, resume=True, name="Strategy-1")
    combinations = {tuple(each.parameters.values()) for each in sweep.records.values()}
    assert (sorted(sweep.records), len(combinations)) == (list(range(1, 9)), 8)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"space": {**SPACE, "x": [1, 2]}}, "space parameters x values was [1, 2, 3] and is now [1, 2]"),
    ({"where": "x > 1"}, 'space conditions was [] and is now ["x > 1"]'),
    ({"objective": "cagr"}, "objective was sharpe and is now cagr"),
    ({"direction": "minimize"}, "direction was maximize and is now minimize"),
    ({"search": "random", "trials": 12}, "search was grid and is now random; trials was not set and is now 12"),
    ({"walk_forward": "train=12M,test=6M"}, "walk_forward was not set and is now train=12M,test=6M"),
    ({"budget": 5}, "arguments budget was not set and is now 5"),
]


def test_a_changed_sweep_is_not_continued(fake_trials: FakeTrials, tmp_path: Path) -> None:
    interrupted_after(1, fake_trials)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path)
    before = stored(tmp_path)
    for changed, message in CHANGES:
        with pytest.raises(ChangedSweepError) as raised:
            swept(tmp_path, name="Strategy-1", resume=True, **changed)
        assert str(raised.value).startswith(f"the sweep Strategy-1 was begun differently: {message}")
    assert stored(tmp_path) == before
    fake_trials.run = backtested
    assert swept(tmp_path, name="Strategy-1", resume=True, jobs=3, timeout=5.0, memory=10**9).status == "complete"


def test_failed_trials_are_kept_unless_they_are_to_run_again(fake_trials: FakeTrials, tmp_path: Path) -> None:
    statuses = {1: "failed", 2: "timeout", 3: "memory", 4: "crashed", 5: "pruned"}

    def run(trial: Trial) -> TrialRecord:
        status: Any = statuses.get(trial.number, "complete")
        return replace(backtested(trial), status=status)

    fake_trials.run = run
    sweep = swept(tmp_path)
    assert [sweep.records[number].objective for number in statuses] == [None] * 5
    assert sweep.best is not None
    assert sweep.best.number not in statuses
    fake_trials.trials.clear()
    swept(tmp_path, name="Strategy-1", resume=True)
    assert fake_trials.trials == []
    fake_trials.run = backtested
    swept(tmp_path, name="Strategy-1", resume=True, retry_failed=True)
    assert sorted(each.number for each in fake_trials.trials) == [1, 2, 3, 4]
    assert {each.status for number, each in stored(tmp_path).items() if number != 5} == {"complete"}


LARGE: dict[str, Any] = {"x": range(40)}


def test_a_sweep_whose_first_trials_all_fail_alike_is_stopped(fake_trials: FakeTrials, tmp_path: Path) -> None:
    fake_trials.run = lambda trial: record(trial.values, status="failed", error="KeyError: 'symbl'")
    with pytest.raises(HopelessSweepError) as raised:
        swept(tmp_path, LARGE)
    assert re.match(
        r"the first 1[0-4] trials all failed with the same error, .*: KeyError: 'symbl'\.", str(raised.value)
    )
    assert "results show Strategy-1 --trial 1 " in str(raised.value)
    assert 10 <= len(fake_trials.trials) <= 14
    assert sorted(stored(tmp_path)) == sorted(each.number for each in fake_trials.trials)
    assert Sweep("Strategy-1", tmp_path / "found.duckdb").status == "failed"
    assert not fake_trials.closed.is_set(), "trials that run are waited for"

    before = len(fake_trials.trials)
    fake_trials.trials.clear()
    sweep = swept(tmp_path, LARGE, name="Strategy-1", resume=True, keep_going=True)
    assert (sweep.status, len(sweep.records), len(fake_trials.trials)) == ("complete", 40, 40 - before)


@pytest.mark.parametrize(
    ("one", "others"),
    [
        ({"error": "ValueError: 1"}, {"error": "ValueError: 2"}),
        ({"status": "complete"}, {"error": "ValueError: 2"}),
        ({"status": "pruned"}, {"status": "timeout"}),
        ({"status": "crashed", "error": "killed"}, {"status": "memory", "error": "killed"}),
    ],
)
def test_trials_that_differ_do_not_stop_a_sweep(
    fake_trials: FakeTrials, tmp_path: Path, one: dict[str, Any], others: dict[str, Any]
) -> None:
    def run(trial: Trial) -> TrialRecord:
        return record(trial.values, **{"status": "failed", **(one if trial.number == 3 else others)})

    fake_trials.run = run
    assert len(swept(tmp_path, LARGE).records) == 40


def test_failures_after_an_earlier_run_do_not_stop_a_sweep(fake_trials: FakeTrials, tmp_path: Path) -> None:
    interrupted_after(3, fake_trials)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path, LARGE)
    fake_trials.run = lambda trial: record(trial.values, status="failed", error="the server is gone")
    assert len(swept(tmp_path, LARGE, name="Strategy-1", resume=True).records) == 40


def test_limits_that_all_trials_exceed_stop_a_sweep(fake_trials: FakeTrials, tmp_path: Path) -> None:
    fake_trials.run = lambda trial: record(trial.values, status="memory", error=f"it needed {trial.number} MB")
    with pytest.raises(HopelessSweepError, match="they needed more than --memory allows"):
        swept(tmp_path, LARGE, jobs=1)
    assert len(stored(tmp_path)) == 11  # the next one starts before the results of one are looked at


@OPTUNA
@pytest.mark.parametrize("kind", ["random", "optuna"])
def test_a_finished_search_is_extended(fake_trials: FakeTrials, tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = {"search": kind, "jobs": 1, "name": "mine"}
    space = {"x": range(30), "y": Interval(0.0, 1.0)}
    swept(tmp_path, space, trials=8, **options)
    before = stored(tmp_path, "mine")
    fake_trials.trials.clear()
    sweep = swept(tmp_path, space, trials=20, resume=True, **options)
    assert [each.number for each in fake_trials.trials] == list(range(9, 21))
    after = stored(tmp_path, "mine")
    assert {number: after[number] for number in before} == before
    assert len({(each.parameters["x"], each.parameters["y"]) for each in after.values()}) == 20
    assert (sweep.status, sweep.database.sweep("mine").record.settings["trials"]) == ("complete", 20)
    with pytest.raises(ChangedSweepError, match="trials was 20 and is now 8"):
        swept(tmp_path, space, trials=8, resume=True, **options)
    if kind == "random":
        at_once = swept(tmp_path, space, **{**options, "trials": 20, "name": "at-once"})
        assert [each.parameters for each in at_once.records.values()] == [each.parameters for each in after.values()]


def test_the_windows_of_a_walk_forward_sweep_are_not_extended(fake_trials: FakeTrials, tmp_path: Path) -> None:
    options: dict[str, Any] = {"search": "random", "walk_forward": "train=12M,test=6M", "name": "mine"}
    swept(tmp_path, {"x": range(30)}, trials=3, **options)
    with pytest.raises(ChangedSweepError, match="trials was 3 and is now 5"):
        swept(tmp_path, {"x": range(30)}, trials=5, resume=True, **options)


def test_a_record_without_the_values_of_its_trial_gets_them(fake_trials: FakeTrials, tmp_path: Path) -> None:
    """A trial that crashed, or whose parameters look like keys, leaves others; the search has to know its values."""
    fake_trials.run = lambda trial: record({"api_token": "[hidden]"}, status="crashed")
    sweep = swept(tmp_path, {"x": [7]})
    assert dict(sweep.records[1].parameters) == {"api_token": "[hidden]", "x": 7}
    swept(tmp_path, {"x": [7]}, name="Strategy-1", resume=True)


def test_a_sweep_runs_in_one_process_at_a_time(fake_trials: FakeTrials, tmp_path: Path) -> None:
    with (
        sweep_lock(tmp_path / "found.duckdb", "mine"),
        pytest.raises(SweepRunningError, match=f"the sweep mine is running in process {os.getpid()} .*another name"),
    ):
        swept(tmp_path, name="mine")
    with sweep_lock(tmp_path / "found.duckdb", "Strategy-1"):
        assert swept(tmp_path, {"x": 1}).name == "Strategy-2"
    assert swept(tmp_path, {"x": 1}, name="mine").status == "complete"
    assert [each.name for each in tmp_path.iterdir() if "running" in each.name] == []


def test_a_sweep_that_cannot_be_locked_has_not_begun(fake_trials: FakeTrials, tmp_path: Path) -> None:
    (tmp_path / "folder.duckdb").write_text("")
    with pytest.raises(StoreWriteError, match=r"folder.*for the results cannot be created .*--results"):
        swept(tmp_path, results=tmp_path / "folder.duckdb" / "found.duckdb")
    with sweep_lock(tmp_path / "found.duckdb", "mine"):
        (lock,) = tmp_path.glob("*.running")
    lock.mkdir()
    with pytest.raises(StoreWriteError, match=r"the sweep mine has not begun: Is a directory"):
        swept(tmp_path, name="mine")
    lock.rmdir()
    with mounted_disk(tmp_path / "disk") as disk:
        (disk / "filler").write_bytes(b"0" * (32 * 2**20))
        with (
            pytest.raises(DiskFullError, match=r"the disk is full, and the sweep mine has not begun"),
            sweep_lock(disk / "found.duckdb", "mine"),
        ):
            pass
        assert [each.name for each in disk.iterdir()] == ["filler"]
    assert fake_trials.trials == []


def test_what_cannot_work_is_refused_before_anything_runs(fake_trials: FakeTrials, tmp_path: Path) -> None:
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"space": {"z": 1}}, UnknownParameterError, "Strategy has no parameter 'z': it has x, y, label"),
        ({"space": {"labl": 1}}, UnknownParameterError, "did you mean 'label'?"),
        ({"where": "x > 9"}, SearchError, "no combination of the parameters meets the conditions"),
        ({"objective": "sharpp"}, SearchError, "unknown objective sharpp; did you mean sharpe?"),
        ({"walk_forward": "train=10Y,test=1Y"}, SearchError, "too short for one window"),
        ({"search": "random"}, SweepError, "how many trials shall the random search run"),
        ({"search": "bayes"}, SweepError, "search='bayes' is not known: choose grid, random or optuna"),
        ({"pruner": "median"}, SweepError, "samplers and pruners are Optuna's"),
        ({"search": "optuna", "trials": 3, "sampler": "tpee"}, SearchError, "unknown sampler tpee; did you mean tpe?"),
        ({"trials": 3}, SweepError, "a grid runs all combinations, not 3"),
        ({"jobs": 0}, ValueError, "jobs=0 is too small"),
        ({"name": " x"}, InvalidResultError, "cannot be the name of a sweep or a session"),
        ({"resume": True}, SweepError, "which sweep shall be resumed"),
        ({"retry_failed": True}, SweepError, "add --resume"),
        ({"resume": True, "name": "nope"}, SweepNotFoundError, "there is no sweep nope"),
    ]
    swept(tmp_path, {"x": 1}, name="there")
    fake_trials.trials.clear()
    for arguments, kind, message in refused:
        with pytest.raises(kind) as raised:
            swept(tmp_path, **arguments)
        assert message in str(raised.value)
    assert fake_trials.trials == []
    assert len(ResultsDatabase(tmp_path / "found.duckdb").sweeps()) == 1


def test_an_error_of_an_executor_ends_the_sweep_and_keeps_its_trials(fake_trials: FakeTrials, tmp_path: Path) -> None:
    def run(trial: Trial) -> TrialRecord:
        if trial.number == 3:
            raise RuntimeError("the cluster is gone")
        return backtested(trial)

    fake_trials.run = run
    with pytest.raises(RuntimeError, match="the cluster is gone"):
        swept(tmp_path, jobs=1)
    assert fake_trials.closed.is_set()
    assert (sorted(stored(tmp_path)), Sweep("Strategy-1", tmp_path / "found.duckdb").status) == ([1, 2], "failed")
    fake_trials.run = backtested
    assert swept(tmp_path, name="Strategy-1", resume=True).status == "complete"


class Busy:
    """Results that cannot be written for some calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: int, error: Exception) -> None:
        self.calls = calls
        self.error = error
        self.written: list[int] = []
        monkeypatch.setattr(ResultsDatabase, "add_trials", lambda database, sweep, records: self(records))
        for pause in ("_PAUSE", "_BUSY_PAUSE"):
            monkeypatch.setattr(result_writer, pause, 0.0)

    def __call__(self, records: Any) -> None:
        self.calls -= 1
        if self.calls >= 0:
            raise self.error
        self.written += [number for number, _ in records]


def test_records_wait_while_another_program_has_the_results_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    busy = Busy(monkeypatch, 3, StoreBusyError("in use by process 7."))
    writer = ResultWriter(tmp_path / "found.duckdb", "mine")
    for number in range(1, 4):
        writer.add([(number, record({}))])
    assert busy.written == []
    writer.add()
    assert busy.written == [1, 2, 3]
    assert caplog.messages == ["in use by process 7. Trials are kept in memory until then"]
    writer.flush()
    assert busy.written == [1, 2, 3]


def test_not_too_many_records_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then the sweep waits, but not forever. An interrupted sweep does not wait."""
    busy = Busy(monkeypatch, 300, StoreBusyError("in use."))
    writer = ResultWriter(tmp_path / "found.duckdb", "mine")
    for number in range(1, 201):
        writer.add([(number, record({}))])
    assert (busy.calls, busy.written) == (100, [])
    writer.add([(201, record({}))])
    assert busy.written == list(range(1, 202))
    assert caplog.messages == ["in use. Trials are kept in memory until then"]
    busy.calls = 10**9
    writer.add([(202, record({}))])
    with pytest.raises(StoreBusyError):
        writer.flush(longest_wait=0)
    monkeypatch.setattr(result_writer, "_LONGEST_WAIT", 0.01)
    with pytest.raises(StoreBusyError):
        writer.flush()


def test_a_full_disk_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Busy(monkeypatch, 1, DiskFullError("full"))
    with pytest.raises(DiskFullError):
        ResultWriter(tmp_path / "found.duckdb", "mine").add([(1, record({}))])


def test_short_trials_share_transactions(
    fake_trials: FakeTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    add = ResultsDatabase.add_trials

    def noted(database: ResultsDatabase, sweep: str, records: Any) -> None:
        sizes.append(len(records))
        add(database, sweep, records)

    monkeypatch.setattr(ResultsDatabase, "add_trials", noted)
    monkeypatch.setattr(result_writer, "_PAUSE", 60.0)
    swept(tmp_path)
    assert (len(sizes), sum(sizes)) == (2, MOST)


def test_a_record_is_written_although_no_other_trial_ends(
    fake_trials: FakeTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last trial ends only once all others are stored."""

    def run(trial: Trial) -> TrialRecord:
        ends = time.monotonic() + 20
        while trial.number == MOST and len(stored(tmp_path)) < MOST - 1:
            assert time.monotonic() < ends
            time.sleep(0.05)
        return backtested(trial)

    fake_trials.run = run
    assert swept(tmp_path).status == "complete"
