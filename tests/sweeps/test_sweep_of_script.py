"""Sweeps of a real script with its real processes: through the command, killed, interrupted, and in windows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from lumibot_duckdb.results.database import ResultsDatabase
from sweeps.plain_record import SCRIPTS, assert_same_results, run_alone

SCRIPT = SCRIPTS / "crossover.py"


class SweepOfScript:
    """Starts the command in a folder, as the leader of a process group, as a shell does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "found.duckdb"

    @property
    def database(self) -> ResultsDatabase:
        return ResultsDatabase(self.results)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lumibot_duckdb", "--store", str(self.folder / "store"), "sweep", str(SCRIPT)]
        command += ["--strategy", "Crossover", "--name", "mine", "--results", str(self.results), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "LUMIBOT_DISABLE_DOTENV": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def ended(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def wait_for_trials(self, number: int) -> None:
        deadline = time.monotonic() + 120
        while not self.database.has_sweep("mine") or len(self.database.records("mine")) < number:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepOfScript:
    return SweepOfScript(tmp_path)


def assert_gone(processes: list[psutil.Process]) -> None:
    """The processes end within seconds."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []


def test_a_script_is_swept(sweep: SweepOfScript) -> None:
    """One trial fails, one crashes and one hangs; the others have all results."""
    does = ("null", "raise", "segfault", "hang")
    code, out, err = sweep.ended("--set", f"does={','.join(does)}", "--set", "fast=3", "--timeout", "20", "--jobs", "4")
    assert (code, err) == (0, "")
    assert "4 trials: 1 complete, 1 failed, 1 crashed, 1 timeout\n" in out
    records = sweep.database.records("mine")
    assert [records[number].status for number in range(1, 5)] == ["complete", "failed", "crashed", "timeout"]
    assert [records[number].parameters["does"] for number in range(1, 5)] == [None, "raise", "segfault", "hang"]
    assert records[2].error == "ValueError: no connection with [hidden]"
    whole = sweep.database.trial("mine", 1)
    assert whole.objective == whole.statistics["sharpe"]
    for table in (whole.equity, whole.trades, whole.daily_returns):
        assert table is not None
        assert table.num_rows
    assert (sweep.folder / "found-mine.html").exists()
    assert sorted(each.name for each in sweep.folder.iterdir() if each.name not in ("logs", "store")) == [
        "found-mine.html",
        "found.duckdb",
        "found.duckdb.lock",
        "found.duckdb.turn",
    ]


@pytest.mark.long
def test_a_killed_sweep_leaves_no_process_and_continues(sweep: SweepOfScript) -> None:
    options = ("--set", "fast=3:14:1", "--jobs", "2")
    process = sweep.start(*options)
    sweep.wait_for_trials(2)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2  # the server, and a trial or more
    process.kill()
    process.communicate()
    assert_gone(family)
    before = sweep.database.records("mine")
    code, out, err = sweep.ended(*options, "--resume")
    assert (code, err) == (0, "")
    assert f"; {len(before)} are stored already\n" in out
    after = sweep.database.records("mine")
    assert sorted(after) == list(range(1, 13))
    assert {number: after[number] for number in before} == before
    for number in after:
        equity = sweep.database.trial("mine", number).equity
        assert equity is not None
        assert equity.num_rows == sweep.database.trial("mine", 1).equity.num_rows  # type: ignore[union-attr]


@pytest.mark.long
def test_ctrl_c_in_a_terminal_lets_running_trials_finish(sweep: SweepOfScript) -> None:
    """A terminal sends the signal to the whole group; trials must not get it."""
    process = sweep.start("--set", "fast=3:40:1", "--jobs", "2")
    sweep.wait_for_trials(1)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    records = sweep.database.records("mine")
    assert process.returncode == 130
    assert f"interrupted: {len(records)} of 38 trials are stored" in err
    assert {each.status for each in records.values()} == {"complete"}
    assert sorted(records) == list(range(1, len(records) + 1))
    assert_gone(family)


@pytest.mark.long
def test_a_second_ctrl_c_kills_trials_that_hang(sweep: SweepOfScript) -> None:
    process = sweep.start("--set", "does=null,hang,hang_on", "--jobs", "1")
    sweep.wait_for_trials(1)
    time.sleep(2)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: 1 of 3 trials are stored" in err
    assert sorted(sweep.database.records("mine")) == [1]
    assert_gone(family)


@pytest.mark.long
def test_windows_of_a_script(sweep: SweepOfScript) -> None:
    """Each test begins where its search ended, and the joined equity has all of them."""
    code, _, err = sweep.ended("--set", "fast=3,8", "--walk-forward", "train=3M,test=1M")
    assert (code, err) == (0, "")
    records = sweep.database.records("mine")
    tests = {each.window: number for number, each in records.items() if each.phase == "out-of-sample"}
    assert sorted(tests) == [1, 2, 3, 4]
    times: list[datetime] = []
    for window in sorted(tests):
        equity = sweep.database.trial("mine", tests[window]).equity
        assert equity is not None
        times += equity.column("time").to_pylist()
    assert times == sorted(set(times))
    joined = next(number for number, each in records.items() if each.phase == "joined")
    equity = sweep.database.trial("mine", joined).equity
    assert equity is not None
    assert equity.column("time").to_pylist() == times
    assert records[joined].status == "complete"


@pytest.mark.long
def test_trials_of_a_sweep_equal_the_script_run_alone(sweep: SweepOfScript, tmp_path: Path) -> None:
    code, _, _ = sweep.ended("--set", "fast=3:12:3", "--set", "share=0.3:0.9:0.3", "--random", "3", "--seed", "5")
    assert code == 0
    for number in (1, 2, 3):
        trial = sweep.database.trial("mine", number)
        values = {name: trial.parameters[name] for name in ("fast", "share")}
        assert_same_results(trial, run_alone(SCRIPT, values, tmp_path))
