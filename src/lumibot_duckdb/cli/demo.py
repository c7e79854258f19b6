"""`lumibot-duckdb demo`: compares two backtests on Lumibot's storage and on the store, and runs a parameter sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.numbers import positive_number, whole_number
from lumibot_duckdb.cli.page_file import check_page_file

_DESCRIPTION = """\
Run two backtests with Lumibot and with lumibot-duckdb, and compare every frame, trade and portfolio value.

The first backtest trades on real daily prices, the second on enough minute bars that memory and time matter. Each run
is a separate process. At the end, a parameter sweep backtests the first strategy with 24 combinations of its parameters
and writes a report, demo-sweep.html in the current folder. The demo needs no network and no account. All other files
are in a temporary folder, which it removes.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb demo                          about 75 seconds
  lumibot-duckdb demo --quick                  smaller backtests and 6 trials
  lumibot-duckdb demo --symbols 20 --years 2   Lumibot needs 4 GB of memory for this
  lumibot-duckdb demo --keep my-demo           keep the two stores, and the report of the sweep with them

exit codes: 0 the results are identical; 1 they differ, or a backtest failed; 2 wrong usage, or a package is missing;
130 interrupted.
"""
_REPORT = "demo-sweep.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("--quick", action="store_true", help="make both backtests and the sweep small")
    numbers = (
        parser.add_argument("--symbols", type=whole_number, metavar="N", help="symbols with minute bars (default: 6)"),
        parser.add_argument("--years", type=positive_number, metavar="Y", help="years of minute bars (default: 2)"),
    )
    for number in numbers:
        completed_by(number, nothing)
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="the report of the sweep (default: demo-sweep.html)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write to this new folder and keep it")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from lumibot_duckdb.comparison.runner import RunError
    from lumibot_duckdb.demo.tour import QUICK, STANDARD, missing_extra, run_tour

    if arguments.store is not None:
        raise CommandError("the demo creates its own stores and takes no --store; --keep FOLDER keeps them")
    instructions = missing_extra()
    if instructions is not None:
        raise CommandError(instructions)
    if arguments.keep is not None and arguments.keep.exists():
        raise CommandError(f"{arguments.keep} exists already; name a new folder")
    report = arguments.report or (arguments.keep or Path()) / _REPORT
    if arguments.report is not None or arguments.keep is None:
        check_page_file(report)
    size = QUICK if arguments.quick else STANDARD
    given = {name: getattr(arguments, name) for name in ("symbols", "years") if getattr(arguments, name) is not None}
    try:
        return 0 if run_tour(replace(size, **given), report, arguments.keep) else 1
    except RunError as error:
        raise CommandError(str(error), exit_code=1) from None
