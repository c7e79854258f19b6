"""What a plan amounts to, before any trial runs: the script is run up to its backtest, and the search is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lumibot_duckdb.sweeps.errors import SweepError
from lumibot_duckdb.sweeps.plan import SweepPlan
from lumibot_duckdb.sweeps.trials.running import check_parameters, describe
from lumibot_duckdb.sweeps.trials.target import TargetDescription
from lumibot_duckdb.sweeps.walk_forward.windows import Window


@dataclass(frozen=True)
class Examination:
    """The backtest of a target, the windows of a walk-forward sweep, and the number of trials (None: not known)."""

    description: TargetDescription
    windows: Sequence[Window]
    total: int | None


def examine(plan: SweepPlan) -> Examination:
    """Run the target up to its backtest, and check the plan.

    Raises:
        TargetError: the script cannot be backtested.
        UnknownParameterError: the strategy has no parameter of a searched name.
        SearchError: the search, or a window, does not suit the backtest.
    """
    sampler = plan.search.new_sampler(plan.space, minimize=plan.objective.minimize)
    description = describe(plan.target)
    check_parameters(description, plan.space.parameters)
    windows = _windows(plan, description)
    total = sampler.total
    if windows and total is not None:
        total = (total + 1) * len(windows)
    return Examination(description, windows, total)


def _windows(plan: SweepPlan, description: TargetDescription) -> Sequence[Window]:
    if plan.walk_forward is None:
        return ()
    if description.start is None or description.end is None:
        raise SweepError(
            "walk-forward needs the start and the end of the backtest: pass both to backtest or run_backtest"
        )
    return plan.walk_forward.windows(description.start, description.end)
