"""`lumibot-duckdb compare`: a script on Lumibot's storage and on this one, compared."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import stopped_by_signals
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.script_arguments import add_script_arguments, check_switches, file_to_run, script_command
from lumibot_duckdb.cli.store import chosen_path

if TYPE_CHECKING:
    from lumibot_duckdb.comparison.comparison import Result, ScriptFailedError

_DESCRIPTION = """\
Run a script as `python SCRIPT ARGUMENT...` would, once on Lumibot's storage and once on this one, each in a process of
its own, and compare what its backtests did: every frame, price and quote that a strategy was given, every trade, fee
and portfolio value, to the last bit. Shows what each side cost, and the first difference in full if there is one.

Each side uses its own cache as always: Lumibot's cache folder, and the store. The script never trades live, opens no
window and writes no files to the folder `logs`; other files that one run leaves, the next finds. What stands before
SCRIPT is for lumibot-duckdb, everything after it is the script's.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb compare my_strategy.py
  lumibot-duckdb compare --repeat 5 --html report.html my_strategy.py --symbol SPY
  lumibot-duckdb compare --from-cache my_strategy.py

exit codes: 0 both storages gave identical results; 1 they did not, nothing was compared, or a backtest or the script
failed; 2 the command was given wrongly, or the report cannot be written; 130 interrupted (129 by SIGHUP, 143 by
SIGTERM).
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "compare",
        help="a script on Lumibot's storage and on this one, compared",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        usage="lumibot-duckdb compare [OPTION]... [-m] SCRIPT [ARGUMENT ...]",
    )
    parser.add_argument("--repeat", type=_times, default=1, metavar="N", help="run N times on each side; show medians")
    parser.add_argument(
        "--from-cache",
        action="store_true",
        help="ask no provider: Lumibot's side starts on an empty cache that is filled from the store",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report to this file, one page")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep what both runs printed, and Lumibot's files about them, in this new folder",
    )
    add_script_arguments(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    command = script_command(arguments, "compare")
    path, file = Path(command[0]), file_to_run(command[0], arguments.is_module)
    check_switches(file)
    store = chosen_path(arguments.store, file)
    _check(arguments, None if arguments.is_module else path, store)
    from lumibot_duckdb.comparison.comparison import ScriptFailedError, compare_script
    from lumibot_duckdb.comparison.runner import Script
    from lumibot_duckdb.comparison.workspace import step, working_folder

    as_of = datetime.now(timezone.utc) if arguments.from_cache else None
    script = Script(path, tuple(command[1:]), store, arguments.is_module, as_of)
    _say(f"Comparing {path} on Lumibot's storage and on lumibot-duckdb")
    with stopped_by_signals(), working_folder(arguments.keep, "compare") as folder:
        try:
            result = compare_script(script, folder, step, repeat=arguments.repeat)
        except ScriptFailedError as failed:
            _show_failure(failed)
            raise CommandError(f"{failed}", exit_code=1) from None
        _show(result, arguments.repeat)
        if arguments.html is not None:
            _write_report(result, arguments.html)
    if arguments.keep is not None:
        _say(f"{'' if arguments.html else chr(10)}What both runs wrote is in {arguments.keep}")
    return 0 if result.identical else 1


def _check(arguments: argparse.Namespace, script: Path | None, store: Path) -> None:
    """Refuse what cannot work before anything is run. A module was looked for before; its `script` is None."""
    if script is not None and script.is_dir():
        raise CommandError(f"{script} is a folder, not a script")
    if script is not None and not script.is_file():
        hint = "; options stand before the script" if str(script).startswith("-") else ""
        raise CommandError(f"there is no script {script}{hint}")
    if arguments.from_cache and not store.exists():
        raise CommandError(f"there is no store to run from: {store}; leave out --from-cache to let the script download")
    if arguments.html is not None:
        _check_report(arguments.html)
    if arguments.keep is not None:
        _make_folder(arguments.keep)


def _check_report(report: Path) -> None:
    """Refuse a report that could not be written in the end, and leave no file for now."""
    there_before = os.path.lexists(report)
    try:
        if report.exists() and not report.is_file() and not report.is_dir():
            return  # a device or a pipe, which says what it thinks when it is written to
        report.open("a").close()
        if not there_before:
            report.unlink()
    except OSError as error:
        raise _unwritable(report, error) from None


def _make_folder(keep: Path) -> None:
    try:
        keep.mkdir(parents=True)
    except FileExistsError:
        raise CommandError(f"{keep} exists already; name a new folder") from None
    except OSError as error:
        raise CommandError(f"cannot make the folder {keep}: {error.strerror}; name another one") from None


def _write_report(result: Result, report: Path) -> None:
    from lumibot_duckdb.comparison.page import report_page

    page = report_page(result)
    try:
        report.write_text(page, encoding="utf-8")
    except OSError as error:
        raise _unwritable(report, error) from None
    _say(f"\nThe report is in {report}")


def _unwritable(report: Path, error: OSError) -> CommandError:
    return CommandError(f"cannot write the report to {report}: {error.strerror}; name a file in a folder that there is")


def _show(result: Result, repeat: int) -> None:
    from lumibot_duckdb.comparison import summary

    _say(f"\n{summary.cost_table(result)}")
    if repeat > 1:
        _say(f"  (medians of {repeat} runs on each side)")
    _say(f"\n{summary.verdict(result)}")
    if result.comparison.differences:
        _say(f"\n{summary.differences_text(result)}")
    if result.unsteady:
        _say(f"\n{summary.unsteady_text(result)}")
    _show_notes([*summary.uncovered_notes(result), *result.notes])


def _show_failure(failed: ScriptFailedError) -> None:
    from lumibot_duckdb.comparison.runner import NAMES
    from lumibot_duckdb.comparison.tables import indented

    for error in failed.errors:
        _say(f"\nThe last lines that the script wrote on {NAMES[error.side]}:")
        _say(indented("\n".join(error.last_lines)))
    _show_notes(failed.notes)


def _show_notes(notes: Sequence[str]) -> None:
    if notes:
        _say("\nTo know:")
    for note in notes:
        _say(f"  {note}")


def _say(text: str) -> None:
    """Print lines, in which nothing that stems from the script or its data moves the cursor."""
    print("\n".join(map(printable, text.expandtabs().split("\n"))), flush=True)


def _times(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of times")
    return int(text)
