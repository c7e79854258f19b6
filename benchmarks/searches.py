"""What it takes to choose the parameters of a sweep's trials: grid, random search and Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import process_time
from typing import Any

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, number
from lumibot_duckdb.sweeps.search.grid import GridSearch
from lumibot_duckdb.sweeps.search.optuna_search import OptunaSearch
from lumibot_duckdb.sweeps.search.random_search import RandomSearch
from lumibot_duckdb.sweeps.search.sampler import Sampler
from lumibot_duckdb.sweeps.search.space import Space

TRIALS = 200
_TIMES = 5
_BACKTESTS = (0.25, 2)
"""Optuna's share is shown for backtests of so many seconds: a short one, and one like that of `daily_backtest`."""

_SPACE = Space.of_options(["fast=5:50:5", "slow=20:200:10", "stop=0.01:0.2", "average=sma,ema"], ["fast < slow"])
_GRID = Space.of_options(["fast=5:50:5", "slow=20:200:10", "stop=0.01:0.2:0.01", "average=sma,ema"], ["fast < slow"])

_SEARCHES: Mapping[str, Callable[[int], Sampler]] = {
    "grid": lambda seed: GridSearch(_GRID),
    "random": lambda seed: RandomSearch(_SPACE, TRIALS, seed),
    "Optuna, tpe": lambda seed: OptunaSearch(_SPACE, TRIALS, seed=seed),
    "Optuna, tpe, median pruner at 20 steps": lambda seed: OptunaSearch(_SPACE, TRIALS, seed=seed, pruner="median"),
}


def two_hundred_trials(workplace: Workplace) -> list[Row]:
    """CPU time of the search itself for each of 200 trials of four parameters with a condition, without backtests."""
    _seconds(_SEARCHES["Optuna, tpe"](0))  # what the first use imports
    rows = []
    for name, search in _SEARCHES.items():
        sample = Sample.of((_seconds(search(seed)) / TRIALS for seed in range(_TIMES)), scale=1_000)
        note = _share(name, sample.median / 1_000) if "Optuna" in name else ""
        rows.append(Row(f"{name}: CPU time of a trial's search", "ms", "", sample, note=note))
    return rows


def _share(name: str, seconds: float) -> str:
    """Return which part of a trial the search takes."""
    shares = [f"{number(100 * seconds / (seconds + each))} % with a backtest of {each} s" for each in _BACKTESTS]
    return f"Share of a trial, {name}: {', '.join(shares)}."


def _seconds(search: Sampler) -> float:
    """Return the CPU seconds of a search with one worker."""
    started = process_time()
    for _ in range(TRIALS):
        trial = search.ask()
        if trial is None:
            break
        number, values = trial
        objective = _objective(values)
        if isinstance(search, OptunaSearch):
            for step in range(20):
                search.intermediate(number, step, 100_000 + 1_000 * objective * step)
        search.tell(number, objective)
    return process_time() - started


def _objective(values: Mapping[str, Any]) -> float:
    return -abs(values["fast"] - 25) / 10 - abs(values["slow"] - 80) / 50 - abs(values["stop"] - 0.05) * 10
