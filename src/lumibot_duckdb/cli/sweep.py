"""`lumibot-duckdb sweep`: runs a script with many combinations of its strategy's parameters."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import completed_by, nothing, words
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count
from lumibot_duckdb.cli.numbers import positive_number, whole_number
from lumibot_duckdb.cli.script_arguments import add_script_arguments, check_switches, file_to_run, script_command
from lumibot_duckdb.cli.store import chosen_path
from lumibot_duckdb.cli.suggestions import similar_file

if TYPE_CHECKING:
    from lumibot_duckdb.sweeps.plan import SweepPlan

_DESCRIPTION = """\
Run the backtest of an unmodified script with many combinations of the strategy's parameters, and keep all results.

The script runs up to its first backtest (or that of --strategy). Each trial is this backtest with other parameters, in
a process of its own; what comes after the backtest in the script does not run. All trials see the store as it was when
the sweep began. Bars that are missing are downloaded once, before that.

Results are rows in a DuckDB file beside the store, which `lumibot-duckdb results` reads, also while the sweep runs.
Ctrl-C lets running trials finish and keeps everything; the same command with --resume continues. A second Ctrl-C stops
at once. Options before SCRIPT belong to lumibot-duckdb, and everything after SCRIPT belongs to the script.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb sweep --set fast=5:50:5 --set slow=20,50,100 --where "fast < slow" my_strategy.py
  lumibot-duckdb sweep --set fast=2:200 --set stop=0.01:0.2 --random 200 --name wide my_strategy.py --symbol SPY
  lumibot-duckdb sweep --resume --set fast=2:200 --set stop=0.01:0.2 --random 200 --name wide my_strategy.py --symbol SPY
  lumibot-duckdb sweep --set fast=5:50:5 --walk-forward train=12M,test=3M my_strategy.py
  lumibot-duckdb sweep --set fast=5:50:5 --objective max_drawdown --timeout 600 --memory 2GB --dry-run my_strategy.py

exit codes: 0 success; 1 no trial was completed, or the script cannot be backtested; 2 wrong usage; 3 the store or the
results file cannot be used, or the disk is full; 130 interrupted (129 by SIGHUP, 143 by SIGTERM).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.usage = "lumibot-duckdb sweep --set NAME=VALUES [OPTION]... [-m] SCRIPT [ARGUMENT ...]"
    _add_search(parser)
    _add_running(parser)
    _add_results(parser)
    add_script_arguments(parser)
    parser.set_defaults(run=_run)


def _add_search(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    values = add(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="values of a parameter: START:STOP:STEP with both ends, or a list A,B,C; may be repeated",
    )
    completed_by(values, nothing)
    where = add(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help='run only combinations such as "fast < slow"; may be repeated',
    )
    completed_by(where, nothing)
    kinds = parser.add_mutually_exclusive_group()
    for kind, purpose in (("random", "run N random combinations"), ("optuna", "let Optuna choose N combinations")):
        completed_by(kinds.add_argument(f"--{kind}", type=whole_number, metavar="N", help=purpose), nothing)
    completed_by(add("--seed", type=int, metavar="N", help="of random numbers (default: 0)"), nothing)
    objective = add(
        "--objective", default="sharpe", metavar="STATISTIC", help="what makes a trial the best (default: sharpe)"
    )
    completed_by(objective, _objectives)
    add("--minimize", action="store_true", help="the best trial has the smallest value, not the largest")
    walk_forward = add(
        "--walk-forward",
        metavar="WINDOWS",
        help="search in windows, and test the best parameters of each on what follows: train=12M,test=3M[,anchored]"
        "[,purge=5D]",
    )
    completed_by(walk_forward, nothing)


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    completed_by(
        add("--strategy", metavar="NAME", help="sweep the backtest of this strategy, if the script has several"), nothing
    )
    completed_by(
        add("--jobs", type=whole_number, metavar="N", help="run N trials at a time (default: one for each CPU)"), nothing
    )
    completed_by(
        add("--timeout", type=positive_number, metavar="SECONDS", help="end a trial that takes longer"), nothing
    )
    completed_by(add("--memory", type=_size, metavar="SIZE", help="end a trial that needs more: 500MB"), nothing)
    add("--artifacts", type=Path, metavar="FOLDER", help="keep each trial's statistics files, plots and logs here")


def _add_results(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    completed_by(add("--name", help="of the sweep (default: that of the script, and a number)"), nothing)
    add("--results", type=Path, metavar="FILE", help="the results file (default: beside the store)")
    add("--resume", action="store_true", help="continue the sweep of that name; trials that are stored do not run again")
    add("--retry-failed", action="store_true", help="with --resume, run failed trials again")
    add("--dry-run", action="store_true", help="show what would run, without running a trial")
