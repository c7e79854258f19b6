"""Sweeps as whole processes of `lumibot-duckdb sweep`; the opponent is a loop over the script."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.outcomes import refuse_difference
from benchmarks.process import ROOT, clean_environment, run_timed
from benchmarks.scripts.outcome import RESULT_VARIABLE
from benchmarks.yahoo import bars as yahoo_bars

_DAILY_TRIALS, _MINUTE_TRIALS = 200, 100
_ALONE = ((5, 20), (10, 60), (25, 100), (40, 150), (60, 240))
"""The parameters with which the script runs alone: each run does the same as the others, so a few are enough."""

_DAILY = ("--set", "fast=5:100:5", "--set", "slow=20:245:25")
_MEGABYTE = 1e-6
_PROGRAM = str(Path(sys.executable).with_name("lumibot-duckdb"))
_SCRIPTS = ROOT / "benchmarks" / "scripts"


@dataclass(frozen=True)
class SweepCost:
    """What a sweep took: the whole command, and its trials."""

    seconds: float
    cpu: float
    trials: Sequence[Mapping[str, Any]]

    def per_trial(self, seconds: float) -> float:
        """Return a part of a cost that belongs to one trial."""
        return seconds / len(self.trials)


def daily_strategy(workplace: Workplace) -> list[Row]:
    """200 trials of a strategy on a year and on ten years of days, against the script run for each; an empty trial."""
    sides = yahoo_bars.warm_sides(workplace, 1)
    settings = {
        side: {"LUMIBOT_CACHE_FOLDER": str(workplace.made_once(f"cache-{side}", lambda _: None)), **sides[side]}
        for side in sides
    }
    empty = _sweep("sweep_moment", settings["duckdb"], "--set", "number=1:100", "--jobs", "1")
    _expect(empty, 100)
    return [
        *_years(1, settings),
        *_years(10, settings),
        Row("trial of two days that does nothing: its CPU time", "ms", "", _of_trials(empty, "cpu_seconds", 1e3)),
        Row("the same, with the sweep's own share", "ms", "", Sample.of([1e3 * empty.per_trial(empty.cpu)])),
    ]


def _years(years: int, settings: Mapping[str, Mapping[str, str]]) -> list[Row]:
    """Compare a sweep over some years with the script alone, whose results are the same on both sides."""
    settings = {side: {**settings[side], "YEARS": str(years)} for side in settings}
    swept = _sweep("sweep_daily", settings["duckdb"], *_DAILY, "--jobs", "2")
    _expect(swept, _DAILY_TRIALS)
    alone = {side: [_run_alone(side, settings[side], each) for each in _ALONE] for side in ("lumibot", "duckdb")}
    for theirs, ours in zip(alone["lumibot"], alone["duckdb"], strict=True):
        refuse_difference(theirs, ours)
    lumibot, run = "the script on Lumibot", "the script through `lumibot-duckdb run`"
    what = f"{_DAILY_TRIALS} trials of {252 * years:,} days, for each trial"
    cpu, time = Sample.of([swept.per_trial(swept.cpu)]), Sample.of([swept.per_trial(swept.seconds)])
    return [
        against(
            f"{what}: CPU time", "s", lumibot, cpu, _costs(alone["lumibot"], "cpu"),
            at_least=8.0, budget="8 times less", note=f"The scripts ran alone with {len(_ALONE)} of the parameters.",
        ),
        against(f"{what}: CPU time", "s", run, cpu, _costs(alone["duckdb"], "cpu")),
        against(f"{what}: time, 2 jobs", "s", lumibot, time, _costs(alone["lumibot"], "seconds")),
    ]  # fmt: skip


def minutes_of_twenty_symbols(workplace: Workplace) -> list[Row]:
    """100 trials of a week of minutes of 20 symbols: memory of each, and time by the number of jobs."""
    settings = {"LUMIBOT_DUCKDB_PATH": str(workplace.store_path())}
    arguments = ("--set", "minutes=20:515:5")
    found = {jobs: _sweep("sweep_minutes", settings, *arguments, "--jobs", str(jobs)) for jobs in (1, 2)}
    for each in found.values():
        _expect(each, _MINUTE_TRIALS)
    what = f"{_MINUTE_TRIALS} trials of minutes of 20 symbols"
    own = _of_trials(found[2], "own_memory", _MEGABYTE)
    one, two = (Sample.of([found[jobs].seconds]) for jobs in (1, 2))
    return [
        Row(
            f"{what}: a trial's own memory", "MB", "", own,
            budget="at most 150", met=max(own.values) <= 150,
            note="Memory that a trial's process does not share with the one it was forked from.",
        ),
        against(f"{what}: time with 2 jobs", "s", "1 job", two, one, at_least=1.8, budget="1.8 times faster"),
    ]  # fmt: skip


def _of_trials(sweep: SweepCost, key: str, scale: float) -> Sample:
    return Sample.of((each[key] for each in sweep.trials), scale)


def _costs(runs: Sequence[Mapping[str, Any]], key: str) -> Sample:
    return Sample.of(run[key] for run in runs)


def _expect(sweep: SweepCost, count: int) -> None:
    complete = sum(each["status"] == "complete" for each in sweep.trials)
    if complete != count:
        raise AssertionError(f"{complete} of {count} trials are complete")


def _sweep(script: str, settings: Mapping[str, str], *arguments: str) -> SweepCost:
    """Run a sweep to its end."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.duckdb"
        command = [_PROGRAM, "sweep", "--name", "all", "--results", str(results), *arguments]
        environment = clean_environment(Path(folder)) | {RESULT_VARIABLE: os.devnull, **settings}
        seconds, cpu = run_timed([*command, str(_SCRIPTS / f"{script}.py")], folder, environment)
        from lumibot_duckdb.results.database import ResultsDatabase

        frame = ResultsDatabase(results).trials("all")
        return SweepCost(seconds, cpu, frame[["status", "cpu_seconds", "own_memory"]].to_dict("records"))


def _run_alone(side: str, settings: Mapping[str, str], parameters: Sequence[int]) -> dict[str, Any]:
    """Run the script to its end; return its outcome, with seconds and CPU seconds."""
    program = [sys.executable] if side == "lumibot" else [_PROGRAM, "run"]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        environment = clean_environment(Path(folder)) | {RESULT_VARIABLE: str(result), **settings}
        command = [*program, str(_SCRIPTS / "sweep_daily.py"), *map(str, parameters)]
        seconds, cpu = run_timed(command, folder, environment)
        outcome: dict[str, Any] = json.loads(result.read_text())
    return {**outcome, "seconds": seconds, "cpu": cpu}
