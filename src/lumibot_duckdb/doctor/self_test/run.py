"""Runs the script of the self-test on both sides, and compares what each source's backtest did, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lumibot_duckdb import clock
from lumibot_duckdb.comparison.differences import Comparison, Run, compare_runs
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, Backtest
from lumibot_duckdb.comparison.runner import NAMES, RunError, Script, run_in_sandbox
from lumibot_duckdb.comparison.workspace import working_folder
from lumibot_duckdb.doctor.check import FAILED, OK, Check
from lumibot_duckdb.doctor.self_test.market import fill_store
from lumibot_duckdb.doctor.self_test.sources import LABELS, errors_file

SCRIPT = "lumibot_duckdb.doctor.self_test.script"
_OUTPUT_LINES = 3
_REPORT = (
    "set LUMIBOT_USE_DUCKDB=false to backtest on Lumibot's own classes until this is fixed, and report it with the "
    "output of `lumibot-duckdb doctor --json`"
)


def run_self_test(remember: Callable[[str], object] | None = None) -> Iterator[Check]:
    """Test every source in a temporary folder, offline; `remember` is called with each source that passed."""
    with working_folder(None, "self-test") as folder:
        store = folder / "store" / "self-test.duckdb"
        fill_store(store)
        moment = clock.utc_now()
        runs = []
        for side in (LUMIBOT, DUCKDB):
            try:
                runs.append(run_one_side(side, store, folder, moment))
            except RunError as error:
                yield _check_of_failed_run(error)
                return
        yield from compare_sides(runs[0], runs[1], remember)


def run_one_side(side: str, store: Path, folder: Path, moment: datetime, script: str = SCRIPT) -> Run:
    """Run a script (the name of a module) on a side. Raises `RunError` if it fails."""
    job = Script(Path(script), (str(folder),), store, is_module=True, stored_as_of=moment)
    return run_in_sandbox(job, side, folder)


def compare_sides(theirs: Run, ours: Run, remember: Callable[[str], object] | None = None) -> Iterator[Check]:
    """Check, source by source, that both sides did exactly the same, and that neither tried to open a connection."""
    for source, label in LABELS.items():
        check = _check_source(source, label, theirs, ours)
        if check.status == OK and remember is not None:
            remember(source)
        yield check
    attempted = sorted({*_connections(theirs), *_connections(ours)})
    if attempted:
        summary = f"the self-test tried to connect to {', '.join(attempted)}, and was refused"
        yield Check("self_test.network", FAILED, summary, _REPORT, {"connections": attempted})
    else:
        yield Check("self_test.network", OK, "no connection was opened", "", {"connections": []})


def _check_source(source: str, label: str, theirs: Run, ours: Run) -> Check:
    problem = _run_problem(source, LUMIBOT, theirs) or _run_problem(source, DUCKDB, ours)
    if problem:
        return Check(f"self_test.{source}", FAILED, f"{label}: {problem}", _REPORT)
    comparison = compare_runs(_limited_to(source, theirs), _limited_to(source, ours))
    backtest = _backtest(source, theirs)
    assert backtest is not None
    compared = {
        "frames": comparison.frames,
        "prices": comparison.answers,
        "fills": len(backtest.fills),
        "portfolio_values": len(backtest.values.rows),
    }
    details = {**compared, "differences": sum(comparison.counts.values())}
    found = _difference(source, comparison) or _nothing_compared(compared)
    if found:
        return Check(f"self_test.{source}", FAILED, f"{label}: {found}", _REPORT, details)
    counts = (
        "{frames:,} frames, {prices:,} prices and quotes, {fills:,} fills and {portfolio_values:,} portfolio values"
    )
    summary = f"{label}: {counts.format(**compared)} are identical to Lumibot's"
    return Check(f"self_test.{source}", OK, summary, "", details)


def _run_problem(source: str, side: str, run: Run) -> str:
    """Return what was wrong with a source's backtest on a side; "" if it finished on the right class."""
    backtest = _backtest(source, run)
    errors = json.loads(errors_file(run.folder.parent, side == DUCKDB).read_text())
    failure = backtest.failure if backtest is not None else None
    if source in errors or failure is not None:
        return f"the backtest on {NAMES[side]} failed: {errors.get(source, failure)}"
    if backtest is None or not backtest.ended:
        return f"the backtest on {NAMES[side]} did not finish"
    if backtest.covered != (side == DUCKDB):
        return f"the backtest on {NAMES[side]} ran on {backtest.source}"
    return ""


def _backtest(source: str, run: Run) -> Backtest | None:
    return next((backtest for backtest in run.outcome.backtests if backtest.name == source), None)


def _limited_to(source: str, run: Run) -> Run:
    """Return a run in which only one source's backtest has finished, so that only this one is compared."""
    backtests = [each if each.name == source else replace(each, ended=False) for each in run.outcome.backtests]
    return replace(run, outcome=replace(run.outcome, backtests=backtests))


def _difference(source: str, comparison: Comparison) -> str:
    """Return the first difference of a source; "" if there is none. Missing backtests of other sources do not count."""
    differences = [each for each in comparison.differences if each.backtest == source]
    if not differences:
        return ""
    first, count = differences[0], sum(comparison.counts.values())
    where = ", ".join(filter(None, [first.when, first.subject, first.place]))
    more = f" ({count:,} differences in all)" if count > 1 else ""
    return f"differs from Lumibot's class: {where} is {first.left} there and {first.right} here{more}"


def _nothing_compared(compared: Mapping[str, int]) -> str:
    """Return which kinds of results the backtest did not produce; "" if it produced all of them."""
    missing = [name.replace("_", " ") for name, count in compared.items() if not count]
    return f"the backtest had no {' and no '.join(missing)} to compare" if missing else ""


def _connections(run: Run) -> set[str]:
    return {*run.outcome.refused, *run.outcome.costs.requests}


def _check_of_failed_run(error: RunError) -> Check:
    lines = error.last_lines[-_OUTPUT_LINES:]
    details = {"output": lines}
    output = f" ({' / '.join(lines)})" if lines else ""
    return Check("self_test.run", FAILED, f"{error}{output}", _REPORT, details)
