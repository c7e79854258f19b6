"""How a sweep stands: what was done, what failed, and the best trial so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lumibot_duckdb.results.records import Status, TrialRecord, Value


@dataclass
class Standing:
    """The counts of a sweep by status, and the best objective with the searched values of its trial."""

    maximise: bool
    names: tuple[str, ...]
    counts: Counter[Status] = field(default_factory=Counter)
    best: float | None = None
    best_values: Mapping[str, Value] = field(default_factory=dict)

    def add(self, records: Iterable[TrialRecord]) -> None:
        """Count records."""
        for record in records:
            self.counts[record.status] += 1
            if record.objective is not None and self._is_better(record.objective):
                self.best = record.objective
                self.best_values = {name: record.parameters[name] for name in self.names if name in record.parameters}

    def _is_better(self, objective: float) -> bool:
        return self.best is None or (objective > self.best if self.maximise else objective < self.best)

    @property
    def done(self) -> int:
        """How many trials have ended."""
        return self.counts.total()
