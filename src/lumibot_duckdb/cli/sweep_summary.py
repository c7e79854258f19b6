"""What `sweep` prints when it begins, and at its end."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.layout import count, printable, table
from lumibot_duckdb.comparison.trading_statistics import STYLES, Style

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import TrialRecord
    from lumibot_duckdb.sweeps.plan import SweepPlan
    from lumibot_duckdb.sweeps.sweep import Sweep
    from lumibot_duckdb.sweeps.sweep_run import SweepRun

_BEST = 10
_REASONS = 5
_SHOWN = ("total_return", "sharpe", "max_drawdown", "closed_trades")
"""The statistics that are shown beside the objective."""


def beginning(plan: SweepPlan, run: SweepRun) -> str:
    """Return the line that says what begins."""
    name = printable(run.record.name)
    how_many = "trials" if run.total is None else count(run.total, "trial")
    line = f"Sweep {name}: {how_many} of {printable(run.record.strategy)}, {plan.jobs} at a time"
    if run.standing.done:
        line += f"; {run.standing.done:,} are stored already"
    return line


def summary(sweep: Sweep) -> tuple[str, bool]:
    """Return what a sweep has found, and whether any trial was completed."""
    records = {number: each for number, each in sweep.database.records(sweep.name).items() if each.phase != "joined"}
    parts = [_counts(records.values()), *_reasons(records.values())]
    windows = [each for each in records.values() if each.phase == "out-of-sample"]
    parts += _windows(sweep) if windows or any(each.phase for each in records.values()) else _best(sweep)
    parts += ["", f"results  {printable(str(sweep.path))}"]
    show = shlex.join(["lumibot-duckdb", "results", "show", sweep.name, "--results", str(sweep.path)])
    parts.append(f"         {printable(show)}")
    return "\n".join(parts), any(each.status == "complete" for each in records.values())
