"""Runs the trials of a sweep, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.target import Target, TargetDescription
from lumibot_duckdb.sweeps.trial import Limits, Trial

Intermediate: TypeAlias = "Callable[[int, int, float], bool]"
"""Takes a trial's number, a day of its backtest (counted from 0) and the value of the portfolio at the end of that day;
returns whether the trial is to end now."""


@dataclass(frozen=True)
class TrialSettings:
    """How trials run.

    Attributes:
        as_of: The moment (tz-aware) as of which trials read the store; None for its present state. Bars that were
            stored then do not change during a sweep. What no trial has needed before is downloaded as usual.
        artifacts: A folder in which each trial gets a subfolder with its statistics files, tear sheet, plots and log;
            None if there shall be none.
        start: "fork" and "spawn" decide how the processes of trials start; "auto" forks where that is safe.
    """

    as_of: datetime | None = None
    artifacts: Path | None = None
    start: Literal["auto", "fork", "spawn"] = "auto"


def describe(target: Target) -> TargetDescription:
    """Run a target up to its backtest, and return what it would run.

    The process waits for trials of this target until `close` or the end of this process.

    Raises:
        TargetError: the script fails before its backtest, or has none, or starts live trading.
    """
    raise NotImplementedError


def prepare(
    target: Target, trial: Trial, limits: Limits = Limits(), settings: TrialSettings = TrialSettings()
) -> TrialRecord:
    """Run a trial that downloads what the store lacks, with progress on the terminal; return its record.

    `settings.as_of` is ignored: take the present moment as `as_of` of the other trials once this returns. Raises as
    `run_trial`.
    """
    raise NotImplementedError


def run_trial(
    target: Target,
    trial: Trial,
    limits: Limits = Limits(),
    settings: TrialSettings = TrialSettings(),
    intermediate: Intermediate | None = None,
) -> TrialRecord:
    """Run a trial, and wait until it has ended.

    Call it from as many threads as trials shall run at the same time: those of one target share a process that has
    run the script up to its backtest. An interrupted call (Ctrl-C) kills its trial. `objective` of the record is None.

    Parameters:
        target: what is backtested.
        trial: the parameters of this backtest.
        limits: a trial that exceeds them is killed; its record has the status "timeout" or "memory".
        settings: how it runs.
        intermediate: called from another thread while the trial runs; if it returns True, the trial is killed, and its
            record has the status "pruned". It cannot be sent to other processes.

    Raises:
        UnknownParameterError: the trial sets a parameter that the strategy does not have.
        TargetError: as `describe`.
    """
    raise NotImplementedError


def close(target: Target | None = None) -> None:
    """End the process that waits for trials of a target (None: of all), and kill the trials that still run."""
    raise NotImplementedError
