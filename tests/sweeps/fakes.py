"""Trials without backtests: records by a formula, and samplers of fixed values."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from lumibot_duckdb.results.records import Status, TrialRecord, Value
from lumibot_duckdb.sweeps.trial import Trial

STARTED = datetime(2024, 6, 3, tzinfo=timezone.utc)


def record(
    values: Mapping[str, Value], sharpe: float | None = None, status: Status = "complete", **others: object
) -> TrialRecord:
    return TrialRecord(dict(values), status, STARTED, 0.1, statistics={"sharpe": sharpe}, **others)  # type: ignore[arg-type]


class Listed:
    """A sampler of given values, which remembers what it was told."""

    def __init__(self, values: Sequence[Mapping[str, Value]]) -> None:
        self.total: int | None = len(values)
        self.told: dict[int, float | None] = {}
        self._values = values
        self._asked = 0

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        if self._asked == len(self._values):
            return None
        self._asked += 1
        return self._asked, self._values[self._asked - 1]

    def tell(self, number: int, objective: float | None) -> None:
        assert number not in self.told
        self.told[number] = objective


class Backtests:
    """A `run_trial` whose Sharpe ratio is the parameter x, and which counts how many run at once."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.most = 0
        self.trials: list[Trial] = []
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, trial: Trial) -> TrialRecord:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
            self.trials.append(trial)
        time.sleep(self.seconds)
        with self._lock:
            self._running -= 1
        x = trial.values.get("x")
        if x is None:
            return record(trial.values, status="failed", error="x is missing")
        return record(trial.values, float(x))
