"""`lumibot-duckdb results`: shows, compares, reports and deletes results of sweeps and of recorded backtests."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.analysis import add_formats, check_output, chosen_format
from lumibot_duckdb.cli.completers import completed_by, nothing, sweeps
from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import one_change
from lumibot_duckdb.cli.layout import count, printable
from lumibot_duckdb.cli.numbers import whole_number
from lumibot_duckdb.cli.page_file import check_page_file, write_page_file
from lumibot_duckdb.cli.results_store import add_results, open_results

if TYPE_CHECKING:
    import pyarrow as pa

    from lumibot_duckdb.results import LiveSessions, ResultsDatabase, StoredSweep, TrialRecord

_DESCRIPTION = """\
Show the results of sweeps, of backtests that `run --record` has recorded, and of sessions of live trading, also while
they run.

actions:
  list                all sweeps, recorded backtests and sessions (the default)
  show NAME           all trials of a sweep; with --trial N, or of a recorded backtest, everything but the equity curve;
                      of a session its state, orders and fills
  best NAME           the best trials of a sweep, by the statistic that it optimises
  compare A B ...     parameters and statistics side by side: of trials (NAME:NUMBER), or of the best trials of sweeps
  report NAME         write the report of a sweep as an HTML page
  delete NAME         delete a sweep, a recorded backtest or a session with everything in it; this cannot be undone

Results are in a DuckDB file, by default beside the store; those of a published snapshot or of a read-only folder are in
Lumibot's cache folder. Any DuckDB client can read the file: see docs/results.md for its tables and views. Times are New
York's in a table, and UTC in the other formats, which have all columns.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb results
  lumibot-duckdb results best crossover -n 5
  lumibot-duckdb results show crossover --trial 12
  lumibot-duckdb results compare crossover:12 crossover:40 my-run
  lumibot-duckdb results show crossover --output trials.parquet
  lumibot-duckdb results report crossover -o crossover.html
  lumibot-duckdb results delete crossover

exit codes: 0 success; 1 there are no results, no such sweep or trial, or the answer was no; 2 wrong usage; 3 the file
cannot be used.
"""
_NAMES = {"list": (0, 0), "show": (1, 1), "best": (1, 1), "compare": (2, None), "report": (1, 1), "delete": (1, 1)}
"""How many names each action takes, at least and at most."""
_BEST = 10
_KINDS = {"sweep": "sweep", "run": "recorded backtest", "live": "live session"}
_PAGE = "html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("action", nargs="?", choices=tuple(_NAMES), default="list", help="what to do (default: list)")
    names = add("names", nargs="*", metavar="NAME", help="a sweep or a recorded backtest; for compare also NAME:NUMBER")
    completed_by(names, sweeps)
    add_results(parser)
    completed_by(add("--trial", type=whole_number, metavar="N", help="show this trial only"), nothing)
    number = add("-n", dest="number", type=whole_number, metavar="N", help=f"how many best trials (default: {_BEST})")
    completed_by(number, nothing)
    add_formats(parser)
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write the rows to this file, .csv, .json or .parquet; for report the page (default: beside the results)",
    )
    add_yes(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    _check_usage(arguments)
    form = _PAGE if arguments.action == "report" else chosen_format(arguments)
    if form != _PAGE:
        check_output(arguments)
    results = open_results(arguments)
    with _absences():
        _ACTIONS[arguments.action](results, arguments, form)
    return 0


def _check_usage(arguments: argparse.Namespace) -> None:
    least, most = _NAMES[arguments.action]
    if len(arguments.names) < least or (most is not None and len(arguments.names) > most):
        needs = "no NAME" if not most and not least else "one NAME" if most == 1 else "at least two names"
        raise CommandError(f"results {arguments.action} takes {needs} (see lumibot-duckdb results --help)")
    for option, action in (("trial", "show"), ("number", "best")):
        if getattr(arguments, option) is not None and arguments.action != action:
            raise CommandError(f"{'--trial' if option == 'trial' else '-n'} is for results {action}")
    if arguments.action == "report" and arguments.format is not None:
        raise CommandError("results report writes an HTML page: leave out --format, --csv and --json")
    if arguments.action == "delete" and (arguments.output or arguments.format not in (None, "table", "json")):
        raise CommandError("results delete prints text or, with --json, one JSON object")


@contextmanager
def _absences() -> Iterator[None]:
    """Report results that do not exist with exit code 1."""
    from lumibot_duckdb.results import ResultsNotFoundError, SweepNotFoundError, TrialNotFoundError

    try:
        yield
    except (ResultsNotFoundError, SweepNotFoundError, TrialNotFoundError) as error:
        raise CommandError(str(error), exit_code=1) from None


def _list(results: ResultsDatabase, arguments: argparse.Namespace, form: str) -> None:
    from lumibot_duckdb.cli.results_output import write_rows

    rows = results.sweeps("arrow")
    if form != "table":
        write_rows(rows, form, arguments.output)
    elif not len(rows):
        print(f"There are no sweeps and no recorded backtests in {printable(str(results.path))}.")
    else:
        print("\n\n".join([*_listed(results, rows), "Times are New York time."]))


def _listed(results: ResultsDatabase, rows: pa.Table) -> Iterator[str]:
    """Yield a table of sweeps and recorded backtests, and one of sessions of live trading, if there are any."""
    import pyarrow.compute as pc

    from lumibot_duckdb.cli.results_output import sessions_table, sweeps_table

    is_live = pc.equal(rows["kind"], "live")
    backtests = rows.filter(pc.invert(is_live))
    if len(backtests):
        yield sweeps_table(backtests)
    if len(backtests) < len(rows):
        yield sessions_table(_sessions(results).summary())


def _sessions(results: ResultsDatabase) -> LiveSessions:
    from lumibot_duckdb.results import LiveSessions

    return LiveSessions(results.path)


def _refuse_session(sweep: StoredSweep, action: str) -> None:
    """Raise `CommandError` if this is a session of live trading, which has no trials."""
    if sweep.kind == "live":
        name = sweep.record.name
        raise CommandError(
            f"{name} is a session of live trading, and results {action} is about backtests; results show {name} shows "
            f"it, and live replay {name} SCRIPT backtests it",
            exit_code=1,
        )


def _show_session(results: ResultsDatabase, name: str, arguments: argparse.Namespace, form: str) -> None:
    from lumibot_duckdb.cli.results_output import session_object, session_text, write_rows

    if arguments.trial is not None:
        raise CommandError(f"{name} is a session of live trading and has no trials: leave out --trial")
    sessions = _sessions(results)
    stored, tables = sessions.session(name), sessions.tables(name)
    if form == "table":
        print(session_text(stored, tables))
    elif form == "json" and arguments.output is None:
        print(json.dumps(session_object(stored, tables), indent=2))
    else:
        write_rows(tables["trades"], form, arguments.output)


def _show(results: ResultsDatabase, arguments: argparse.Namespace, form: str) -> None:
    from lumibot_duckdb.cli.results_output import differing, sweep_line

    (name,) = arguments.names
    sweep = results.sweep(name)
    if sweep.kind == "live":
        _show_session(results, name, arguments, form)
        return
    number = arguments.trial or (1 if sweep.kind == "run" else None)
    if number is not None:
        _show_trial(results, name, number, arguments, form)
        return
    rows = results.trials(name, "arrow")
    if form == "table":
        print(f"{sweep_line(sweep)}\n")
    _print_trials(rows, sweep, differing(rows), arguments, form)


def _show_trial(results: ResultsDatabase, name: str, number: int, arguments: argparse.Namespace, form: str) -> None:
    from lumibot_duckdb.cli.results_output import trial_object, trial_text, write_rows

    record = results.trial(name, number)
    if form == "table":
        print(trial_text(record))
    elif form == "json" and arguments.output is None:
        print(json.dumps({"sweep": name, "number": number, **trial_object(record)}, indent=2))
    else:
        write_rows(record.trades, form, arguments.output)


def _best(results: ResultsDatabase, arguments: argparse.Namespace, form: str) -> None:
    from lumibot_duckdb.cli.results_output import differing

    (name,) = arguments.names
    sweep, parameters = results.sweep(name), differing(results.trials(name, "arrow"))
    _refuse_session(sweep, "best")
    _print_trials(results.best(name, arguments.number or _BEST, "arrow"), sweep, parameters, arguments, form)


def _print_trials(
    rows: pa.Table, sweep: StoredSweep, parameters: Sequence[str], arguments: argparse.Namespace, form: str
) -> None:
    from lumibot_duckdb.cli.results_output import TABLE_ROWS, trials_table, write_rows

    if form != "table":
        write_rows(rows, form, arguments.output)
    elif not len(rows):
        print("No trial is complete yet." if "rank" in rows.column_names else "There are no trials yet.")
    else:
        print(trials_table(rows, parameters, sweep.record.settings.get("objective")))
        if len(rows) > TABLE_ROWS:
            print(f"The first {TABLE_ROWS:,} of {len(rows):,} trials. --format csv prints all.", file=sys.stderr)


def _compare(results: ResultsDatabase, arguments: argparse.Namespace, form: str) -> None:
    from lumibot_duckdb.cli.results_output import comparison_rows, comparison_table, trial_object, write_rows

    records = dict(_named_trials(results, arguments.names))
    if form == "table":
        print(comparison_table(records))
    elif form == "json" and arguments.output is None:
        shown = [{"trial": name, **trial_object(record)} for name, record in records.items()]
        for each in shown:
            del each["trades"]
        print(json.dumps(shown, indent=2))
    else:
        write_rows(comparison_rows(records), form, arguments.output)


def _named_trials(results: ResultsDatabase, names: Iterable[str]) -> Iterable[tuple[str, TrialRecord]]:
    """Yield the trials that some names stand for, each with the name that it is shown under."""
    for name in names:
        sweep, colon, number = name.rpartition(":")
        if colon and number.isdecimal() and not results.has_sweep(name):
            yield name, results.trial(sweep, int(number))
            continue
        best = _best_trial(results, name)
        yield name if results.sweep(name).kind == "run" else f"{name}:{best}", results.trial(name, best)


def _best_trial(results: ResultsDatabase, sweep: str) -> int:
    """Return the number of a sweep's best trial: of a recorded backtest the only one, of a walk-forward all tests."""
    found = results.sweep(sweep)
    _refuse_session(found, "compare")
    if found.kind == "run":
        return 1
    best = results.best(sweep, 1, "arrow").select(["number", "phase"]).to_pylist()
    if not best:
        raise CommandError(f"the sweep {sweep} has no complete trial; name one, as in {sweep}:1", exit_code=1)
    return int(next((row for row in best if row["phase"] == "joined"), best[0])["number"])


def _report(results: ResultsDatabase, arguments: argparse.Namespace, form: str) -> None:
    from lumibot_duckdb.progress import Progress
    from lumibot_duckdb.sweeps.report import default_report_path, report_page, stored_report

    (name,) = arguments.names
    sweep = results.sweep(name)
    _refuse_session(sweep, "report")
    if sweep.kind == "run":
        raise CommandError(f"{name} is a recorded backtest, and reports are about sweeps; results show {name} shows it")
    file = arguments.output or default_report_path(results.path, name)
    check_page_file(file)
    with Progress("Writing the report"):
        page = report_page(stored_report(results, name))
    write_page_file(file, page)
    print(f"The report is in {printable(str(file))}.")


def _delete(results: ResultsDatabase, arguments: argparse.Namespace, form: str) -> None:
    (name,) = arguments.names
    found = results.sweep(name)
    what = f"the {_KINDS[found.kind]} {printable(name)}"
    trials = len(results.records(name))
    if found.kind == "sweep":
        what += f" with {count(trials, 'trial')}"
    if not arguments.dry_run:
        if found.status == "running":
            rows = "rows" if found.kind == "live" else "trials"
            print(f"It has not ended; if it still runs, its next {rows} will fail to be stored.", file=sys.stderr)
        confirm(f"Delete {what}?", arguments)
        with one_change("the results are"):
            results.delete(name)
    if form == "json":
        print(json.dumps({"dry_run": arguments.dry_run, "deleted": {"name": name, "trials": trials}}, indent=2))
    else:
        print(f"{what[0].upper()}{what[1:]} {'would be deleted' if arguments.dry_run else 'deleted'}.")


_ACTIONS = {"list": _list, "show": _show, "best": _best, "compare": _compare, "report": _report, "delete": _delete}
