"""How a sweep stands: what was done, what failed, and the best trial so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lumibot_duckdb.results.records import Status, TrialRecord, Value
from lumibot_duckdb.sweeps.search.objectives import Objective


@dataclass
class Standing:
    """The counts of a sweep by status, and the best objective with the searched values of its trial."""

    objective: Objective
    names: tuple[str, ...]
    counts: Counter[Status] = field(default_factory=Counter)
    best: float | None = None
    best_values: Mapping[str, Value] = field(default_factory=dict)

    def add(self, records: Iterable[TrialRecord]) -> None:
        """Count records."""
        for record in records:
            self.counts[record.status] += 1
            value = record.objective
            if value is not None and (self.best is None or self.objective.is_better(value, self.best)):
                self.best = value
                self.best_values = {name: record.parameters[name] for name in self.names if name in record.parameters}

    @property
    def done(self) -> int:
        """How many trials have ended."""
        return self.counts.total()

    def __str__(self) -> str:
        failed = self.done - self.counts["complete"] - self.counts["pruned"]
        parts = [f"{self.done:,} done", *([f"{failed:,} failed"] if failed else [])]
        if self.best is not None:
            values = ", ".join(f"{name}={value}" for name, value in self.best_values.items())
            parts.append(f"best {self.objective.name} {self.best:.4g} ({values})")
        return ", ".join(parts)
