"""The trials of a search over the script's whole backtest."""

from __future__ import annotations

from dataclasses import replace

from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.search.sampler import Sampler
from lumibot_duckdb.sweeps.trials.trial import Trial


class SearchQueue:
    """The trials that a sampler proposes, and those that an earlier run has stored."""

    def __init__(self, sampler: Sampler, objective: Objective) -> None:
        self.total = sampler.total
        self._sampler = sampler
        self._objective = objective

    def next(self) -> Trial | None:
        """Return the next trial to start; None if the sampler has no more."""
        asked = self._sampler.ask()
        return None if asked is None else Trial(*asked)

    def take(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Tell the sampler the result, and return the record with its objective."""
        record = completed(record, trial, self._objective)
        self._sampler.tell(trial.number, record.objective, trial.values)
        return record

    def know(self, trial: Trial, objective: float | None) -> None:
        """Take a trial that an earlier run has stored."""
        self._sampler.tell(trial.number, objective, trial.values)

    def intermediate(self, number: int, day: int, value: float) -> bool:
        """Take the value of a portfolio at the end of a day, and return whether its trial is to end. Thread-safe."""
        return bool(self._sampler.intermediate(number, day, value))  # type: ignore[attr-defined]  # Optuna's has it


def completed(record: TrialRecord, trial: Trial, objective: Objective) -> TrialRecord:
    """Return a record with all values of its trial, and with its objective, which only a complete trial has."""
    value = objective.value(record.statistics) if record.status == "complete" else None
    return replace(record, parameters={**record.parameters, **trial.values}, objective=value)
