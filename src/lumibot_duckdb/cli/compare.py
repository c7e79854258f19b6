"""`lumibot-duckdb compare`: runs a script on Lumibot's storage and on the store, and compares the results."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb import clock
from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.numbers import whole_number
from lumibot_duckdb.cli.page_file import check_page_file, write_page_file
from lumibot_duckdb.cli.script_arguments import add_script_arguments, check_switches, file_to_run, script_command
from lumibot_duckdb.cli.store import chosen_path
from lumibot_duckdb.cli.suggestions import similar_file

if TYPE_CHECKING:
    from lumibot_duckdb.comparison.comparison import Result, ScriptFailedError
    from lumibot_duckdb.comparison.runner import Script

_DESCRIPTION = """\
Run a script on Lumibot's storage and on the store, and compare the results bit for bit.

Each run is a separate process. The comparison covers every frame, price and quote that a strategy received, and every
order, trade, fee, portfolio value and chart point. The report shows what each side cost, and the causes of
differences if there are any.

Each side uses its usual cache: Lumibot's cache folder, and the store. The script cannot trade live, opens no windows
and writes no files to the folder `logs`; the second run finds any other files that the first run wrote. Options before
SCRIPT belong to lumibot-duckdb, and everything after SCRIPT belongs to the script.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb compare my_strategy.py
  lumibot-duckdb compare --repeat 5 --html report.html my_strategy.py --symbol SPY
  lumibot-duckdb compare --from-cache my_strategy.py
  lumibot-duckdb compare --json my_strategy.py | jq '.backtests[].statistics.duckdb'

exit codes: 0 the results are identical; 1 they differ, nothing was compared, or a backtest or the script failed;
2 wrong usage, or the report cannot be written; 3 the disk is full; 130 interrupted (129 by SIGHUP, 143 by SIGTERM).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.usage = "lumibot-duckdb compare [OPTION]... [-m] SCRIPT [ARGUMENT ...]"
    repeat = parser.add_argument(
        "--repeat", type=whole_number, default=1, metavar="N", help="run each side N times and show medians"
    )
    completed_by(repeat, nothing)
    parser.add_argument(
        "--from-cache",
        action="store_true",
        help="send no requests to providers: Lumibot's side starts with an empty cache, filled from the store",
    )
    answer = parser.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="TEXT",
        help="what input() returns in the script; repeat the option for further calls",
    )
    completed_by(answer, nothing)
    parser.add_argument("--json", action="store_true", help="print one JSON object, with trading statistics")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report to this file, as one HTML page")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep the output of both runs and Lumibot's log files in this new folder",
    )
    add_script_arguments(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    command = script_command(arguments, "compare")
    path, file = Path(command[0]), file_to_run(command[0], arguments.is_module)
    check_switches(file)
    store = chosen_path(arguments.store, file)
    _check(arguments, None if arguments.is_module else path, store)
    from lumibot_duckdb.comparison.runner import Script

    as_of = clock.utc_now() if arguments.from_cache else None
    script = Script(path, tuple(command[1:]), store, arguments.is_module, as_of, input_lines=tuple(arguments.answer))
    if arguments.json:
        with redirect_stdout(sys.stderr):  # steps and failures; the result alone goes to standard output
            result = _compare(arguments, script)
        _print_json(result)
    else:
        result = _compare(arguments, script)
    return 0 if result.identical else 1


def _compare(arguments: argparse.Namespace, script: Script) -> Result:
    """Compare, show the result, and write the report."""
    from lumibot_duckdb.comparison.comparison import ScriptFailedError, compare_script
    from lumibot_duckdb.comparison.runner import warm_up
    from lumibot_duckdb.comparison.step_display import step
    from lumibot_duckdb.comparison.workspace import working_folder

    _say(f"Comparing {script.path} on Lumibot's storage and on lumibot-duckdb")
    with working_folder(arguments.keep, "compare") as folder:
        if script.stored_as_of is None:  # otherwise the run that fills Lumibot's cache reads all files first
            with step("loading Lumibot once, so that neither side pays for a cold disk"):
                warm_up()
        try:
            result = compare_script(script, folder, step, repeat=arguments.repeat)
        except ScriptFailedError as failed:
            _show_failure(failed)
            raise CommandError(f"{failed}", exit_code=1) from None
        _show(result, arguments.repeat)
        if arguments.html is not None:
            from lumibot_duckdb.comparison.page import report_page

            write_page_file(arguments.html, report_page(result))
            _say(f"\nThe report is in {arguments.html}")
    if arguments.keep is not None:
        _say(f"{'' if arguments.html else chr(10)}The output of both runs is in {arguments.keep}")
    return result


def _print_json(result: Result) -> None:
    from lumibot_duckdb.comparison.result_json import result_object

    print(json.dumps(result_object(result), allow_nan=False))


def _check(arguments: argparse.Namespace, script: Path | None, store: Path) -> None:
    """Raise `CommandError` for arguments that cannot work. `script` is None for a module, which was checked before."""
    if script is not None and script.is_dir():
        raise CommandError(f"{script} is a folder, not a script")
    if script is not None and not script.is_file():
        is_option = str(script).startswith("-")
        hint = "; options come before the script" if is_option else similar_file(script)
        raise CommandError(f"there is no script {script}{hint}")
    if arguments.from_cache and not store.exists():
        raise CommandError(f"there is no store at {store}; without --from-cache, the script downloads its bars")
    if arguments.html is not None:
        check_page_file(arguments.html)
    if arguments.keep is not None:
        _make_folder(arguments.keep)


def _make_folder(keep: Path) -> None:
    try:
        keep.mkdir(parents=True)
    except FileExistsError:
        raise CommandError(f"{keep} exists already; name a new folder") from None
    except OSError as error:
        raise CommandError(f"cannot create the folder {keep}: {error.strerror}; name another one") from None


def _show(result: Result, repeat: int) -> None:
    from lumibot_duckdb.comparison import summary

    _say(f"\n{summary.cost_table(result)}")
    if repeat > 1:
        _say(f"  (medians of {repeat} runs on each side)")
    _say(f"\n{summary.verdict(result)}")
    if result.comparison.differences:
        _say(f"\n{summary.differences_text(result)}")
    if result.differing_runs:
        _say(f"\n{summary.differing_runs_text(result)}")
    _show_notes([*summary.uncovered_notes(result), *result.notes])


def _show_failure(failed: ScriptFailedError) -> None:
    from lumibot_duckdb.comparison.runner import NAMES
    from lumibot_duckdb.comparison.tables import indented

    for error in failed.errors:
        _say(f"\nThe script's last lines of output on {NAMES[error.side]}:")
        _say(indented("\n".join(error.last_lines)))
    _show_notes(failed.notes)


def _show_notes(notes: Sequence[str]) -> None:
    if notes:
        _say("\nNotes:")
    for note in notes:
        _say(f"  {note}")


def _say(text: str) -> None:
    """Print lines. Control characters from the script or its data are printed as escapes."""
    print("\n".join(map(printable, text.expandtabs().split("\n"))), flush=True)
