"""Trials without backtests: records by a formula, and samplers of fixed values."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa

from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA, Status, TrialRecord, Value
from lumibot_duckdb.sweeps import examination, sweep, sweep_run
from lumibot_duckdb.sweeps.trials.running import Intermediate
from lumibot_duckdb.sweeps.trials.target import Target, TargetDescription
from lumibot_duckdb.sweeps.trials.trial import Limits, Trial

STARTED = datetime(2024, 6, 3, tzinfo=timezone.utc)
START, END = datetime(2020, 1, 1), datetime(2022, 1, 1)
PARAMETERS = {"x": 1, "y": 0.5, "label": "a"}


class Strategy:
    """Stands for a strategy: it is never backtested."""

    parameters = PARAMETERS


def record(
    values: Mapping[str, Value], sharpe: float | None = None, status: Status = "complete", **others: Any
) -> TrialRecord:
    return TrialRecord(dict(values), status, STARTED, 0.1, statistics={"sharpe": sharpe}, **others)


class Listed:
    """A sampler of given values, which remembers what it was told."""

    def __init__(self, values: Sequence[Mapping[str, Value]]) -> None:
        self.total: int | None = len(values)
        self.told: dict[int, float | None] = {}
        self._values = values
        self._asked = 0

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        while self._asked < len(self._values):
            self._asked += 1
            if self._asked not in self.told:
                return self._asked, self._values[self._asked - 1]
        return None

    def tell(self, number: int, objective: float | None, values: Mapping[str, Value] | None = None) -> None:
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


def sharpe_of(trial: Trial) -> float:
    """The Sharpe ratio of a fake trial: x, with a bonus for the x of its span's month, which differs by window."""
    month = (trial.span.start.month if trial.span else 0) % 5
    x, y = trial.values.get("x", 1), trial.values.get("y", 0.5)
    return -abs(float(x) - month) + float(y) / 100  # type: ignore[arg-type]


def daily_of(trial: Trial) -> tuple[list[date], list[float]]:
    """The days and the returns of a fake trial: three days of its span, which depend on its values."""
    first = (trial.span.start if trial.span else START).date()
    return [first + timedelta(number) for number in range(3)], [0.0, 0.01 * float(trial.values.get("x", 1)), -0.02]  # type: ignore[arg-type]


def backtested(trial: Trial) -> TrialRecord:
    """The record of a fake trial."""
    days, returns = daily_of(trial)
    times = [datetime(day.year, day.month, day.day, tzinfo=timezone.utc) for day in days]
    values = [1000.0]
    for each in returns[1:]:
        values.append(values[-1] * (1 + each))
    total = values[-1] / 1000 - 1
    statistics = {"sharpe": sharpe_of(trial), "closed_trades": 2.0, "win_rate": 0.5, "total_return": total}
    return TrialRecord(
        {**PARAMETERS, **trial.values},
        "complete",
        STARTED,
        0.1,
        statistics=statistics,
        risk_free_rate=0.03,
        equity=pa.table([times, values, values], schema=EQUITY_SCHEMA),
        daily_returns=pa.table([days, returns, [0.0] * 3], schema=DAILY_SCHEMA),
    )


@dataclass
class FakeTrials:
    """Stands for the processes of trials.

    Attributes:
        run: Runs a trial; a test may replace it.
        trials: The trials that ran, in the order in which they started.
    """

    run: Callable[[Trial], TrialRecord] = backtested
    source: str = "PandasDataBacktesting"
    trials: list[Trial] = field(default_factory=list)
    prepared: list[Trial] = field(default_factory=list)
    settings: list[Any] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def install(self, set_attribute: Callable[[Any, str, Any], None]) -> None:
        """Take the place of the functions that start processes."""
        set_attribute(examination, "describe", self.describe)
        set_attribute(sweep_run, "run_trial", self.run_trial)
        set_attribute(sweep_run, "prepare", self.prepare)
        set_attribute(sweep_run, "close", self.close)
        set_attribute(sweep, "close", lambda target: None)

    def describe(self, target: Target) -> TargetDescription:
        return TargetDescription("Strategy", self.source, PARAMETERS, START, END, is_forked=True)

    def run_trial(
        self, target: Target, trial: Trial, limits: Limits, settings: Any, intermediate: Intermediate | None = None
    ) -> TrialRecord:
        """Run a trial; it is pruned on the day on which `intermediate` says so."""
        self.trials.append(trial)
        self.settings.append(settings)
        found = self.run(trial)
        assert found.equity is not None or intermediate is None
        for day, value in enumerate(found.equity.column("value").to_pylist() if intermediate else []):
            if intermediate is not None and intermediate(trial.number, day, value):
                return replace(found, status="pruned")
        return found

    def prepare(self, target: Target, trial: Trial, limits: Limits) -> TrialRecord:
        self.prepared.append(trial)
        return self.run(trial)

    def close(self, target: Target) -> None:
        self.closed.set()
