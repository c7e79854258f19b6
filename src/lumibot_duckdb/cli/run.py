"""`lumibot-duckdb run`: a script as it is, on this storage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from lumibot_duckdb.cli.errors import fail
from lumibot_duckdb.cli.script_arguments import add_script_arguments, check_switches, file_to_run, script_command
from lumibot_duckdb.cli.store import chosen_path

_DESCRIPTION = """\
Run a script as `python SCRIPT ARGUMENT...` would, with lumibot-duckdb's data sources in the place of Lumibot's
(Polygon, Yahoo, Alpaca, CCXT). Nothing in it has to be changed. What stands before SCRIPT is for lumibot-duckdb,
everything after it is the script's.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb run my_strategy.py
  lumibot-duckdb run --store research.duckdb my_strategy.py --symbol SPY
  BACKTESTING_DATA_SOURCE=yahoo lumibot-duckdb run -m my_strategies.momentum

LUMIBOT_USE_DUCKDB=false gives Lumibot's own behaviour back. LUMIBOT_DUCKDB_ROLLOUT=25 takes a share of the backtests.
The exit code is the script's; 2 if there is no such script.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="run a script as it is, on this storage",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        usage="lumibot-duckdb run [-h] [--store PATH] [-m] SCRIPT [ARGUMENT ...]",
    )
    add_script_arguments(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Callable[[], int]:
    """Return what runs the script: how that ends is no more a matter of the command's."""
    script, *its_arguments = script_command(arguments, "run")
    check_switches(file_to_run(script, arguments.is_module))
    from lumibot_duckdb.activation.activation import activate
    from lumibot_duckdb.activation.env_overrides import hold_settings
    from lumibot_duckdb.activation.script import run_module, run_script
    from lumibot_duckdb.storage.location import ENVIRONMENT_VARIABLE

    if arguments.store is not None:
        hold_settings({ENVIRONMENT_VARIABLE: str(chosen_path(arguments.store))})
    activate()
    run = run_module if arguments.is_module else run_script
    return lambda: _as_python_would(lambda: run(script, its_arguments))


def _as_python_would(run: Callable[[], None]) -> int:
    """Run a script, and leave how it ends to Python, which shows an error from the script on."""
    from lumibot_duckdb.activation.script import NoScriptError, traceback_of_script

    try:
        run()
    except NoScriptError as error:
        return fail(str(error), 2)
    except SystemExit:
        raise
    except BaseException as error:
        _show_from(traceback_of_script(error))
        raise
    return 0


def _show_from(traceback: TracebackType | None) -> None:
    """Have the error that ends this process shown with this traceback, by whatever shows errors by now."""
    show = sys.excepthook

    def show_of_script(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        show(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = show_of_script
