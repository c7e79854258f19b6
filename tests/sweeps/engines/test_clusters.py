"""Sweeps of a real script on clusters of processes on this machine, whose workers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.results.records import TrialRecord
from sweeps.plain_record import SCRIPTS, assert_same_results, run_alone

pytestmark = pytest.mark.long
SCRIPT = SCRIPTS / "crossover.py"
ENVIRONMENT = {**os.environ, "LUMIBOT_DISABLE_DOTENV": "1"}


def wait_until(reached: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@dataclass
class Cluster:
    """A scheduler of Dask with its address, and the workers that a test has started."""

    folder: Path
    address: str
    workers: list[subprocess.Popen[bytes]]

    def start_worker(self) -> psutil.Process:
        """Start a worker for one trial at a time, which nothing starts again."""
        command = [sys.executable, "-m", "dask", "worker", self.address, "--nthreads", "1", "--no-nanny"]
        command += ["--no-dashboard", "--local-directory", str(self.folder)]
        with (self.folder / "workers.txt").open("ab") as output:
            process = subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=output, stderr=output)
        self.workers.append(process)
        return psutil.Process(process.pid)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    folder = tmp_path / "cluster"
    folder.mkdir()
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with (folder / "scheduler.txt").open("wb") as output:
        scheduler = subprocess.Popen([*command, "--scheduler-file", str(file)], stdout=output, stderr=output)
    wait_until(lambda: file.exists() and file.read_text().endswith("}"))
    cluster = Cluster(folder, json.loads(file.read_text())["address"], [])
    yield cluster
    for process in (*cluster.workers, scheduler):
        process.kill()
        process.wait()


@dataclass
class SweepOnCluster:
    """The command in a folder of a test."""

    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "lumibot_duckdb", "--store", "store", "sweep", str(SCRIPT), "--strategy"]
        command += ["Crossover", "--name", "mine", "--results", "found.duckdb", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)

    def ended(self, process: subprocess.Popen[str]) -> str:
        """Return the output of a sweep that succeeds."""
        out, err = process.communicate(timeout=400)
        assert (process.returncode, err) == (0, "")
        return out

    @property
    def records(self) -> dict[int, TrialRecord]:
        database = ResultsDatabase(self.folder / "found.duckdb")
        return database.records("mine") if database.has_sweep("mine") else {}

    def assert_equal_to_the_script(self, number: int) -> None:
        trial = ResultsDatabase(self.folder / "found.duckdb").trial("mine", number)
        values = {name: trial.parameters[name] for name in ("fast", "slow")}
        assert_same_results(trial, run_alone(SCRIPT, values, self.folder))


@pytest.fixture
def sweep(tmp_path: Path) -> SweepOnCluster:
    return SweepOnCluster(tmp_path)


def servers(worker: psutil.Process) -> list[psutil.Process]:
    """Return the processes that a worker has started: that of the target, and its trials."""
    return worker.children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_trials_of_a_lost_worker_run_again_on_another(
    sent: signal.Signals, cluster: Cluster, sweep: SweepOnCluster
) -> None:
    first, second = cluster.start_worker(), cluster.start_worker()
    options = ("--engine", "dask", "--address", cluster.address, "--jobs", "2")
    process = sweep.start("--set", "fast=3:18:1", "--set", "slow=20", *options)
    wait_until(lambda: len(sweep.records) >= 2 and len(servers(first)) >= 2)  # a trial runs there
    of_first = servers(first)
    first.send_signal(sent)
    assert_gone(of_first)
    out = sweep.ended(process)
    assert "16 trials: 16 complete\n" in out
    assert {number: each.parameters["fast"] for number, each in sweep.records.items()} == {
        number: number + 2 for number in range(1, 17)
    }
    wait_until(lambda: not servers(second))  # the sweep has ended, the worker has not
    assert second.is_running()
    for number in (1, 16):
        sweep.assert_equal_to_the_script(number)


def test_nothing_of_a_killed_sweep_runs_on(cluster: Cluster, sweep: SweepOnCluster) -> None:
    worker = cluster.start_worker()
    options = ("--engine", "dask", "--address", cluster.address)
    process = sweep.start("--set", "fast=3,4", "--set", "does=null,hang", *options)
    wait_until(lambda: len(sweep.records) == 1 and len(servers(worker)) >= 2)
    of_worker = servers(worker)
    process.kill()
    process.communicate()
    assert_gone(of_worker)
    process = sweep.start("--set", "fast=3,4", "--set", "does=null,hang", *options, "--resume", "--timeout", "20")
    assert "4 trials: 2 complete, 2 timeout\n" in sweep.ended(process)
    assert worker.is_running()


def test_a_worker_with_another_environment(cluster: Cluster, sweep: SweepOnCluster) -> None:
    """The script reads values of parameters from the environment, which each worker has for itself."""
    cluster.start_worker()
    command = ["--set", "fast=3,4", "--engine", "dask", "--address", cluster.address]
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "lumibot_duckdb",
                "--store",
                "store",
                "sweep",
                str(SCRIPT),
                "--strategy",
                "Crossover",
            ),
            *command,
        ],
        cwd=sweep.folder,
        env={**ENVIRONMENT, "VALUES": '{"slow": 33}'},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "lumibot-duckdb: the backtest on the worker on " in err
    assert " differs: the parameter slow is 20, and here 33. The environment variables " in err


def test_ray_runs_the_trials_of_a_killed_worker_again(sweep: SweepOnCluster) -> None:
    pytest.importorskip("ray")
    process = sweep.start("--set", "fast=3:12:1", "--set", "slow=20", "--engine", "ray", "--jobs", "2")
    family = psutil.Process(process.pid)

    def workers() -> list[psutil.Process]:
        """Return the processes of Ray that run a trial."""
        found = []
        for each in family.children(recursive=True):
            try:
                if any("lumibot_duckdb.sweeps.trials.server" in word for word in each.cmdline()):
                    parent = each.parent()
                    if parent is not None and "ray::" in parent.name() + " ".join(parent.cmdline()):
                        found.append(parent)
            except psutil.Error:
                continue
        return found

    wait_until(lambda: len(sweep.records) >= 1 and workers(), 300)
    victim = workers()[0]
    of_victim = servers(victim)
    all_processes = family.children(recursive=True)
    victim.kill()
    assert_gone(of_victim)
    assert "10 trials: 10 complete\n" in sweep.ended(process)
    assert sorted(sweep.records) == list(range(1, 11))
    assert_gone(all_processes)
    sweep.assert_equal_to_the_script(10)
