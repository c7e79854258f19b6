"""What is stored of a sweep and of each backtest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

import pyarrow as pa

Value: TypeAlias = "bool | int | float | str | None"
"""The value of a parameter."""

Status = Literal["complete", "failed", "timeout", "memory", "crashed", "pruned"]
"""How a trial ended: an error of the script is `failed`, a process that died is `crashed`."""

Phase = Literal["in-sample", "out-of-sample", "joined"]
"""What a trial of a walk-forward sweep is for: the search in a window, its test, or all tests joined."""

EQUITY_SCHEMA = pa.schema([("time", pa.timestamp("us", "UTC")), ("value", pa.float64()), ("cash", pa.float64())])
"""The value of the portfolio at each iteration."""

TRADES_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        ("event", pa.string()),  # Lumibot's status: "fill", "cash_settled", "canceled" ...
        ("asset", pa.string()),
        ("side", pa.string()),
        ("type", pa.string()),
        ("quantity", pa.float64()),
        ("price", pa.float64()),
        ("fees", pa.float64()),
    ]
)
"""The log of a backtest's trade events."""

DAILY_SCHEMA = pa.schema([("day", pa.date32()), ("value", pa.float64()), ("benchmark", pa.float64())])
"""The returns of calendar days in UTC, from which Lumibot computes its tear sheet (0.01 is 1 %)."""


@dataclass(frozen=True)
class TrialRecord:
    """A backtest that has ended.

    Attributes:
        parameters: All parameters of the strategy as JSON values, not only those of the search.
        statistics: From quantstats, by the names of `trading_statistics.STYLES`; None if there is no value.
        risk_free_rate: The yearly rate that the ratios of the statistics deduct (0.05 is 5 %); None if unknown.
        objective: The value of what the sweep optimises; None if there is none.
        seconds: Elapsed time of the backtest, without waiting for a worker.
        cpu_seconds: CPU time of the trial's process.
        peak_memory: Bytes that the trial's process needed at most, with what it shares with the others.
        own_memory: Bytes of these that were not shared with the process it was forked from; None if unknown.
        error: Why it failed: one line. `traceback` has the rest, without secrets.
        phase: In a walk-forward sweep, what the backtest is for.
        window: In a walk-forward sweep, the number of its window, from 1; None for the joined equity.
    """

    parameters: Mapping[str, Any]
    status: Status
    started: datetime
    seconds: float
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    own_memory: int | None = None
    statistics: Mapping[str, float | None] = field(default_factory=dict)
    risk_free_rate: float | None = None
    objective: float | None = None
    error: str | None = None
    traceback: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    equity: pa.Table | None = None
    trades: pa.Table | None = None
    daily_returns: pa.Table | None = None
    phase: Phase | None = None
    window: int | None = None


@dataclass(frozen=True)
class SweepRecord:
    """A sweep that begins.

    Attributes:
        name: Its name, unique in a results database.
        strategy: The name of the strategy's class.
        script: The command that runs the script, or None for a class in Python.
        space: The searched parameters with their values, and the conditions, as JSON.
        settings: Search, seed, jobs, limits, walk-forward, as JSON; "objective" is the name of a statistic, and
            "direction" is "maximize" or "minimize".
        as_of: All trials saw the store as it was at this moment; None if they did not read the store.
        store: The path of the store.
    """

    name: str
    strategy: str
    script: str | None
    space: Mapping[str, Any]
    settings: Mapping[str, Any]
    started: datetime
    as_of: datetime | None
    store: str | None
    versions: Mapping[str, str] = field(default_factory=dict)
