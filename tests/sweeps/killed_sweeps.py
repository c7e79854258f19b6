"""Sweeps of real backtests in separate processes, which tests kill, and what they have stored."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lumibot_duckdb.results.database import ResultsDatabase
from sweeps.plain_record import TESTS

_SERVER = "lumibot_duckdb.sweeps.trials.server"


@dataclass(frozen=True)
class RealSweep:
    """A sweep of a script: a command that can be started again and again, in one folder with a store and results."""

    script: Path
    options: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    name: str = "killed"

    @property
    def results(self) -> ResultsDatabase:
        return ResultsDatabase(self.folder / "results.duckdb")

    @property
    def store(self) -> Path:
        return self.folder / "store.duckdb"

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Start the command. Its output goes to a file in the folder."""
        self.folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "lumibot_duckdb", "--store", str(self.store), "sweep", str(self.script)]
        command += [*self.options, "--name", self.name, "--results", str(self.results.path), *more]
        paths = [str(TESTS), str(TESTS.parent), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
        defaults = {"LUMIBOT_DISABLE_DOTENV": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with (self.folder / f"{self.name}.txt").open("a") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **defaults, **self.environment},
                stdout=output,
                stderr=output,
                text=True,
            )

    def run(self, *more: str) -> int:
        """Run the command to its end, and return its exit code."""
        return self.start(*more).wait(600)

    def output(self) -> str:
        return (self.folder / f"{self.name}.txt").read_text()

    def statuses(self) -> dict[int, str]:
        """Return the status of each stored trial."""
        database = self.results
        if not database.has_sweep(self.name):
            return {}
        return {number: each.status for number, each in database.records(self.name).items()}

    def finish(self) -> None:
        """Resume the sweep until all of its trials are complete. At most three runs may be needed."""
        for _ in range(3):
            assert self.run("--resume", "--retry-failed", "--keep-going") == 0, self.output()
            if set(self.statuses().values()) == {"complete"}:
                return
        raise AssertionError(self.statuses())

    def outcomes(self, searched: Sequence[str]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """Return what each trial has found, by the values of its searched parameters, which are all different."""
        database = self.results
        records = database.records(self.name)
        equity, trades = (dict(list(each(self.name).groupby("number"))) for each in (database.equity, database.trades))
        found = {}
        for number, record in records.items():
            assert record.status == "complete", record.error
            curves = [
                each[number].drop(columns="number").to_csv(index=False) if number in each else ""
                for each in (equity, trades)
            ]
            found[tuple(record.parameters[name] for name in searched)] = (record.statistics, *curves)
        assert len(found) == len(records)
        return found


def server_of(sweep: subprocess.Popen[str]) -> psutil.Process | None:
    """Return the process that forks the trials of a sweep."""
    for child in psutil.Process(sweep.pid).children():
        if _SERVER in " ".join(child.cmdline()):
            return child
    return None


def kill_something(sweep: subprocess.Popen[str], numbers: random.Random) -> str:
    """Kill a trial, less often the server, and sometimes the sweep; return what was killed, "" if no trial runs."""
    what = numbers.choices(["trial", "server", "sweep"], [10, 2, 1])[0]
    try:
        server = server_of(sweep)
        trials = [] if server is None else server.children()
        if server is None or not trials:
            return ""
        victim = {"trial": numbers.choice(trials), "server": server, "sweep": psutil.Process(sweep.pid)}[what]
        victim.kill()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""
    return what


def run_while_killing(sweep: RealSweep, numbers: random.Random, kills: int, pause: tuple[float, float]) -> list[str]:
    """Run a sweep, and resume it whenever it was killed, until so many processes have been killed. It then continues.

    Nothing is killed before the first trial is stored. A script that is killed before its backtest ends the sweep, too,
    if that is at its beginning, or again and again. Returns what was killed.
    """
    killed: list[str] = []
    process = sweep.start("--keep-going")
    while len(killed) < kills and process.poll() != 0:
        if process.poll() is not None:
            assert process.returncode < 0 or "was killed by SIGKILL" in sweep.output().splitlines()[-1], sweep.output()
            process = sweep.start("--keep-going", "--resume", "--retry-failed")
            continue
        time.sleep(numbers.uniform(*pause))
        if process.poll() is None and (killed or sweep.statuses()):
            killed += filter(None, [kill_something(process, numbers)])
    process.wait(600)
    return killed


def own_processes(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found
