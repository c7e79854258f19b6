"""What a sweep is to do."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from lumibot_duckdb.sweeps.search.method import Search
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.search.space import Space
from lumibot_duckdb.sweeps.trials.target import ScriptTarget, Target
from lumibot_duckdb.sweeps.trials.trial import Limits
from lumibot_duckdb.sweeps.walk_forward.windows import WalkForward


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class SweepPlan:
    """A sweep before it begins.

    Attributes:
        target: What is backtested.
        store: The path of the store.
        results: The path of the results file.
        space: The searched parameters.
        objective: What makes a trial the best.
        search: How parameters are chosen.
        walk_forward: The windows of a walk-forward sweep; None searches over the whole backtest.
        name: The name of the sweep; None takes that of the script or class with the next free number.
        jobs: How many trials run at a time.
        limits: What a trial may use.
        artifacts: A folder for files of each trial; None if there shall be none.
        engine: Where trials run: one of `engines.ENGINES`.
    """

    target: Target
    store: Path
    results: Path
    space: Space
    objective: Objective
    search: Search = field(default_factory=Search)
    walk_forward: WalkForward | None = None
    name: str | None = None
    jobs: int = field(default_factory=usable_cpus)
    limits: Limits = field(default_factory=Limits)
    artifacts: Path | None = None
    engine: str = "local"

    @property
    def base_name(self) -> str:
        """The default name, without its number."""
        if isinstance(self.target, ScriptTarget):
            return self.target.script.rpartition(".")[2] if self.target.is_module else Path(self.target.script).stem
        return self.target.strategy.__name__
