"""The trials of a search over the script's whole backtest."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.sampler import Sampler
from lumibot_duckdb.sweeps.trial import Trial

ObjectiveOf = Callable[[TrialRecord], "float | None"]


class SearchQueue:
    """The trials of one sampler, without those that an earlier run has stored (`known`, by their numbers)."""

    def __init__(self, sampler: Sampler, objective: ObjectiveOf, known: Collection[int] = ()) -> None:
        self.total = sampler.total
        self._sampler = sampler
        self._objective = objective
        self._known = known

    def next(self) -> Trial | None:
        """Return the next trial to start; None if the sampler has no more."""
        while (asked := self._sampler.ask()) is not None:
            number, values = asked
            if number not in self._known:
                return Trial(number, values)
        return None

    def take(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Tell the sampler the result, and return the record with its objective."""
        objective = self._objective(record) if record.status == "complete" else None
        self._sampler.tell(trial.number, objective)
        return replace(record, objective=objective)
