"""The trials of a search over the script's whole backtest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.sampler import Sampler
from lumibot_duckdb.sweeps.trial import Trial

ObjectiveOf = Callable[[TrialRecord], "float | None"]


class SearchQueue:
    """The trials that a sampler proposes. The sampler was told those that an earlier run has stored."""

    def __init__(self, sampler: Sampler, objective: ObjectiveOf) -> None:
        self.total = sampler.total
        self._sampler = sampler
        self._objective = objective

    def next(self) -> Trial | None:
        """Return the next trial to start; None if the sampler has no more."""
        asked = self._sampler.ask()
        return None if asked is None else Trial(*asked)

    def take(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Tell the sampler the result, and return the record with its objective."""
        record = with_objective(record, self._objective)
        self._sampler.tell(trial.number, record.objective, trial.values)
        return record


def with_objective(record: TrialRecord, objective: ObjectiveOf) -> TrialRecord:
    """Return a record with its objective, which only a complete trial has."""
    return replace(record, objective=objective(record) if record.status == "complete" else None)
