"""What `sweep --dry-run` prints: the backtest, and which trials would run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.layout import count, printable
from lumibot_duckdb.sweeps.examination import examine
from lumibot_duckdb.sweeps.trials.running import close

if TYPE_CHECKING:
    from lumibot_duckdb.sweeps.examination import Examination
    from lumibot_duckdb.sweeps.plan import SweepPlan

_FIRST = 5


def preview(plan: SweepPlan) -> str:
    """Return what a plan would do. The script runs up to its backtest."""
    try:
        found = examine(plan)
    finally:
        close(plan.target)
    return "\n".join(map(printable, _lines(plan, found)))


def _lines(plan: SweepPlan, found: Examination) -> Iterator[str]:
    backtest = found.description
    source = f" on {backtest.source}" if backtest.source else ""
    yield f"{backtest.strategy}{source}, from {_day(backtest.start)} to {_day(backtest.end)}"
    for name, value in backtest.parameters.items():
        searched = plan.space.parameters.get(name)
        yield f"  {name} = {value!r}" + ("" if searched is None else ", searched")
    for condition in plan.space.conditions:
        yield f"  where {condition.text}"
    if found.windows:
        yield f"{count(len(found.windows), 'window')}:"
    for window in found.windows:
        train, test = window.train, window.test
        yield (
            f"  {window.number}: search from {_day(train.start)} to {_day(train.end)}, "
            f"test from {_day(test.start)} to {_day(test.end)}"
        )
    total = "An unknown number of trials" if found.total is None else count(found.total, "trial")
    objective = f"{plan.objective.name} ({plan.objective.direction}d)"
    yield f"{total} would run, {plan.jobs} at a time, to find the best {objective}."
    yield from _first(plan)
    if not backtest.is_forked:
        yield f"Each trial would run the script from its start: {backtest.reason}"
    yield f"Results would be in {plan.results}."


def _first(plan: SweepPlan) -> Iterator[str]:
    sampler = plan.search.new_sampler(plan.space, minimize=plan.objective.minimize)
    yield "The first ones:"
    for _ in range(_FIRST):
        asked = sampler.ask()
        if asked is None:
            return
        yield f"  {', '.join(f'{name}={value}' for name, value in asked[1].items())}"


def _day(time: datetime | None) -> str:
    if time is None:
        return "Lumibot's default"
    return f"{time:%Y-%m-%d}" if not (time.hour or time.minute) else f"{time:%Y-%m-%d %H:%M}"
