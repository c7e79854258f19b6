"""The sweep of the demo: `python -m lumibot_duckdb.demo.sweep JOB STORE REPORT PARAMETERS`.

JOB is the file of a `Job` whose bars are in STORE, PARAMETERS a JSON object with the values of each parameter. All
combinations are backtested, and the report is written to REPORT. Prints the best trials, and whether they are luck.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

from tabulate import tabulate

from lumibot_duckdb.comparison.tables import indented
from lumibot_duckdb.demo.job import SWEEP_NAME
from lumibot_duckdb.results.location import results_path
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.overfitting.verdict import verdict
from lumibot_duckdb.sweeps.plan import SweepPlan
from lumibot_duckdb.sweeps.report import SweepReport, stored_report, write_report
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.search.space import Space
from lumibot_duckdb.sweeps.sweep import Sweep, run_plan
from lumibot_duckdb.sweeps.trials.target import ScriptTarget

_SCRIPT = "lumibot_duckdb.demo.backtest"
_ON_STORE = {"LUMIBOT_USE_DUCKDB": "true", "LUMIBOT_DUCKDB_ROLLOUT": "100"}
_BEST = 3
_WIDTH = 98


def run_sweep(job: Path, store: Path, parameters: Mapping[str, Sequence[int]]) -> Sweep:
    """Backtest all combinations of the values of parameters; the results are stored beside the store."""
    plan = SweepPlan(
        target=ScriptTarget(_SCRIPT, (str(job),), is_module=True, store=store, environment=_ON_STORE),
        store=store,
        results=results_path(store=store),
        space=Space.of_values(parameters),
        objective=Objective.of("sharpe"),
        name=SWEEP_NAME,
    )
    return run_plan(plan, keep_going=True)


def best_trials(sweep: Sweep) -> str:
    """Return a table of the best trials. Raises `RuntimeError` if none is complete."""
    records = sweep.records
    ranked = sweep.ranked(records)
    if not ranked:
        raise RuntimeError(next((each.error for each in records.values() if each.error), "no trial has a Sharpe ratio"))
    rows = [[number, *_row(sweep, records[number])] for number in ranked[:_BEST]]
    if len(ranked) > _BEST:
        rows.append([f"{ranked[-1]} (worst)", *_row(sweep, records[ranked[-1]])])
    header = ["trial", *sweep.searched, "Sharpe ratio", "return a year", "maximum drawdown"]
    return tabulate(rows, header, tablefmt="simple", disable_numparse=True, colalign=["right"] * len(header))


def _row(sweep: Sweep, record: TrialRecord) -> list[str]:
    percent = [record.statistics.get(name) for name in ("cagr", "max_drawdown")]
    return [
        *(str(record.parameters[name]) for name in sweep.searched),
        f"{record.objective:.2f}",
        *("" if each is None else f"{100 * each:.1f} %" for each in percent),
    ]


def luck(report: SweepReport) -> str:
    """Return whether the best trial may be luck."""
    found = report.assessment
    if found is None:
        return ""
    said = verdict(found)
    return fill(" ".join((said.headline, *said.sentences)), _WIDTH)


def main(job: Path, store: Path, page: Path, parameters: Mapping[str, Sequence[int]]) -> None:
    """Run the sweep, print what it has found, and write the report."""
    sweep = run_sweep(job, store, parameters)
    report = stored_report(sweep.database, sweep.name)
    print(indented(best_trials(sweep)))
    print(f"\n{luck(report)}")
    write_report(report, page)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
