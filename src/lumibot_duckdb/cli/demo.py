"""`lumibot-duckdb demo`: the same backtests on Lumibot's storage and on this one, compared."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lumibot_duckdb.cli.errors import CommandError

_DESCRIPTION = """\
Run two backtests, each on Lumibot's PandasDataBacktesting and on lumibot-duckdb's, every one in a fresh process, and
compare every fill and every portfolio value: first real daily prices, then minute bars at a size where it matters.
Needs no network and no account; works in a temporary folder and leaves nothing behind.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb demo                          about two minutes
  lumibot-duckdb demo --quick                  about half a minute
  lumibot-duckdb demo --symbols 20 --years 2   Lumibot's side needs 4 GB of memory for this
  lumibot-duckdb demo --keep my-demo           keep the two stores to look into

exit codes: 0 both storages gave identical results; 1 they did not, or a backtest failed; 2 the command was given
wrongly, or something it needs is not installed; 130 interrupted.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="a real strategy on real prices, on Lumibot's storage and on this one, compared",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("--quick", action="store_true", help="a small second part")
    parser.add_argument("--symbols", type=_positive(int), metavar="N", help="symbols with minute bars (default: 6)")
    parser.add_argument("--years", type=_positive(float), metavar="Y", help="years of minute bars (default: 2)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write to this new folder and keep it")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from lumibot_duckdb.demo.comparison import TrialError
    from lumibot_duckdb.demo.tour import QUICK, STANDARD, missing_extra, run_tour

    if arguments.store is not None:
        raise CommandError("the demo makes stores of its own and takes no --store; --keep FOLDER keeps them")
    to_do = missing_extra()
    if to_do is not None:
        raise CommandError(to_do)
    if arguments.keep is not None and arguments.keep.exists():
        raise CommandError(f"{arguments.keep} exists already; name a new folder to keep the demo in")
    size = QUICK if arguments.quick else STANDARD
    given = {name: getattr(arguments, name) for name in ("symbols", "years") if getattr(arguments, name) is not None}
    try:
        return 0 if run_tour(replace(size, **given), arguments.keep) else 1
    except TrialError as error:
        raise CommandError(str(error), exit_code=1) from None


def _positive(kind: type[Any]) -> Any:
    def parse(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
        return number

    return parse
