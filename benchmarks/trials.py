"""Trials of a sweep, against a loop that runs the script on Lumibot once for each."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import product
from pathlib import Path
from time import perf_counter

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.process import ROOT, clean_environment
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.running import close, run_trial
from lumibot_duckdb.sweeps.target import ScriptTarget
from lumibot_duckdb.sweeps.trial import Span, Trial

_SCRIPT = ROOT / "benchmarks" / "scripts" / "days_crossover.py"
_TRIALS = [{"fast": fast, "slow": slow} for fast, slow in product(range(5, 25), range(30, 80, 5))]
_ALONE = _TRIALS[::40]
_JOBS = (1, 2)
_NEARLY_EMPTY = Span(datetime(2022, 6, 1), datetime(2022, 6, 4))
_EMPTY_TRIALS = 20


def two_hundred_trials(workplace: Workplace) -> list[Row]:
    """CPU, time and memory of 200 trials of a daily strategy; some results are compared with those of the script."""
    with tempfile.TemporaryDirectory() as folder:
        environment = clean_environment(Path(folder))
        whole, loop = ([_alone(folder, environment, each, reports) for each in _ALONE] for reports in ("", "none"))
        runs = [_sweep(folder, environment, jobs) for jobs in _JOBS]
    what, (records, cpu, _, empty) = "daily crossover, 4 symbols, a year", runs[0]
    ends = dict(zip(map(str, _TRIALS), (record.statistics["end_value"] for record in records), strict=True))
    if any(value != ends[str(each)] for each, (value, _) in zip([*_ALONE, *_ALONE], [*whole, *loop], strict=True)):
        raise AssertionError("a trial ended with another value than the script with the same parameters")
    ours = Sample.of([used / len(_TRIALS) for _, used, _, _ in runs])
    note = (
        f"The CPU time of 200 trials and of the process that they are forked from, divided by 200: {cpu:.0f} s in all"
    )
    return [
        against(
            f"{what}: CPU of a trial, against the script with Lumibot's usual files",
            "s",
            "a loop over the script",
            ours,
            Sample.of([used for _, used in whole]),
            at_least=8.0,
            budget="an eighth of the CPU",
            note=note,
        ),
        against(
            f"{what}: CPU of a trial, against the script without any files",
            "s",
            "a loop over the script",
            ours,
            Sample.of([used for _, used in loop]),
        ),
        against(
            f"{what}: time of 200 trials, two at a time",
            "s",
            "one at a time",
            Sample.of([runs[1][2]]),
            Sample.of([runs[0][2]]),
        ),
        Row("an almost empty trial: CPU", "s", "", Sample.of([each.cpu_seconds for each in empty])),
        Row(
            f"{what}: memory of a trial beyond what all share",
            "MB",
            "",
            Sample.of([(each.own_memory or 0) * 1e-6 for each in records]),
        ),
    ]


def _sweep(
    folder: str, environment: Mapping[str, str], jobs: int
) -> tuple[list[TrialRecord], float, float, list[TrialRecord]]:
    """Run all trials; return their records, the CPU seconds and seconds of all, and records of almost empty trials."""
    target = ScriptTarget(str(_SCRIPT), environment=dict(environment), folder=Path(folder))
    began, started = _children_cpu(), perf_counter()
    try:
        with ThreadPoolExecutor(jobs) as pool:
            trials = (Trial(number, values) for number, values in enumerate(_TRIALS, 1))
            records = list(pool.map(lambda trial: run_trial(target, trial), trials))
        seconds = perf_counter() - started
        empty = [run_trial(target, Trial(1, {}, _NEARLY_EMPTY)) for _ in range(_EMPTY_TRIALS)]
    finally:
        close(target)
    return records, _children_cpu() - began - sum(each.cpu_seconds for each in empty), seconds, empty


def _alone(folder: str, environment: Mapping[str, str], values: Mapping[str, int], reports: str) -> tuple[float, float]:
    """Run the script on Lumibot; return the value at its end and its CPU seconds."""
    began = _children_cpu()
    given = {name.upper(): str(value) for name, value in values.items()}
    done = subprocess.run(
        [sys.executable, str(_SCRIPT)],
        cwd=folder,
        env={**os.environ, **environment, **given, "REPORTS": reports},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1]), _children_cpu() - began


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
