"""Sweeps that are killed, interrupted, stopped by a signal, or run at the same time, with trials by a formula."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from disks import mounted_disk
from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.sweeps.trials.trial import Trial
from sweeps.fakes import sharpe_of

HOLDER = """
import sys, time
import duckdb

while True:
    try:
        held = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException:
        time.sleep(0.01)
print("open", flush=True)
sys.stdin.readline()
"""
COMMAND = Path(__file__).with_name("fake_command.py")
TRIALS = 14


class Sweeps:
    """Starts sweeps in a folder, each in a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "found.duckdb"
        (folder / "script.py").write_text("")

    def start(self, name: str, *more: str, trials: int = TRIALS, seconds: float = 0.0) -> subprocess.Popen[str]:
        arguments = ["--store", "store", "sweep", "script.py", "--set", f"x=1:{trials}:1", "--jobs", "2"]
        arguments += ["--name", name, "--results", str(self.results), *more]
        return subprocess.Popen(
            [sys.executable, str(COMMAND), str(seconds), *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stored(self, name: str) -> list[int]:
        database = ResultsDatabase(self.results)
        return sorted(database.records(name)) if database.has_sweep(name) else []

    def wait_for(self, name: str, trials: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.stored(name)) < trials:
            assert time.monotonic() < deadline
            time.sleep(0.15)

    def assert_whole(self, name: str, numbers: Sequence[int]) -> None:
        """Every stored trial has its objective and its whole equity curve."""
        database = ResultsDatabase(self.results)
        records = database.records(name)
        assert sorted(records) == list(numbers)
        for number, record in records.items():
            assert record.objective == sharpe_of(Trial(1, {"x": number}))
        rows = database.equity(name).groupby("number").size()
        assert rows.to_dict() == dict.fromkeys(numbers, 3)


@pytest.fixture
def processes(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_killed_sweep_continues_with_whole_trials(processes: Sweeps) -> None:
    process = processes.start("mine", seconds=300)
    processes.wait_for("mine", 3)
    process.kill()
    process.communicate()
    before = processes.stored("mine")
    assert before == [1, 2, 3]
    processes.assert_whole("mine", before)
    assert ResultsDatabase(processes.results).sweep("mine").status == "running"

    code, out, err = ended(processes.start("mine", "--resume"))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"Sweep mine: {TRIALS} trials of Strategy, 2 at a time; {len(before)} are stored already",
        f"{TRIALS} trials are there",
    ]
    processes.assert_whole("mine", range(1, TRIALS + 1))
    assert ResultsDatabase(processes.results).sweep("mine").status == "complete"


def test_signals_end_a_sweep_with_their_exit_codes(processes: Sweeps) -> None:
    """All three run at the same time, on one results file."""
    seconds = {"once": 1.0, "twice": 300.0, "term": 300.0}
    running = {name: processes.start(name, trials=2_000, seconds=each) for name, each in seconds.items()}
    for name in running:
        processes.wait_for(name, 3)
    running["once"].send_signal(signal.SIGINT)
    running["twice"].send_signal(signal.SIGINT)
    running["term"].send_signal(signal.SIGTERM)
    assert running["twice"].stderr is not None
    while "press Ctrl-C again to stop now" not in running["twice"].stderr.readline():
        pass
    running["twice"].send_signal(signal.SIGINT)
    outcomes = {name: ended(process) for name, process in running.items()}
    assert {name: code for name, (code, _, _) in outcomes.items()} == {"once": 130, "twice": 130, "term": 143}
    for name, reason in (("once", "interrupted"), ("twice", "interrupted"), ("term", "stopped by SIGTERM")):
        stored = processes.stored(name)
        assert stored == [1, 2, 3] if name != "once" else len(stored) >= 3
        assert outcomes[name][2].splitlines()[-1] == (
            f"lumibot-duckdb: {reason}: {len(stored)} of 2,000 trials are stored; the same command with --resume "
            f"--name {name} continues"
        )
        processes.assert_whole(name, stored)
        assert ResultsDatabase(processes.results).sweep(name).status == "interrupted"


@pytest.mark.long
def test_results_that_another_program_keeps_open_for_a_minute(processes: Sweeps) -> None:
    """There are more trials than may wait in memory; the sweep goes on when the program closes the file."""
    process = processes.start("mine", trials=500, seconds=0.02)
    processes.wait_for("mine", 3)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(processes.results)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    time.sleep(60)
    assert process.poll() is None
    holder.communicate("\n")
    code, out, err = ended(process)
    assert (code, out.splitlines()[-1]) == (0, "500 trials are there")
    assert err.count("Trials are kept in memory until then") == 1
    assert f"is open in process {holder.pid}" in err
    processes.assert_whole("mine", range(1, 501))


@pytest.mark.long
def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as disk:
        processes = Sweeps(tmp_path)
        processes.results = disk / "found.duckdb"
        process = processes.start("mine", trials=2_000, seconds=0.02)
        processes.wait_for("mine", 3)
        fill(disk)
        code, _, err = ended(process)
        assert (code, err.count("\n")) == (3, 1), err
        assert "the disk is full" in err
        (disk / "filler").unlink()
        before = processes.stored("mine")
        assert len(before) >= 3
        processes.assert_whole("mine", before)
        code, _, err = ended(processes.start("mine", "--resume", trials=2_000))
        assert (code, err) == (0, "")
        processes.assert_whole("mine", range(1, 2_001))


def fill(disk: Path) -> None:
    """Write a file until the disk is full."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"0" * 4_096)


@pytest.mark.long
def test_two_sweeps_run_at_once_and_the_same_one_does_not(processes: Sweeps) -> None:
    both = {name: processes.start(name, seconds=0.5) for name in ("one", "two")}
    processes.wait_for("one", 1)
    code, out, err = ended(processes.start("one", "--resume"))
    assert (code, out) == (1, "")
    assert "the sweep one is running in process" in err
    for name, process in both.items():
        assert ended(process)[0] == 0
        processes.assert_whole(name, range(1, TRIALS + 1))
