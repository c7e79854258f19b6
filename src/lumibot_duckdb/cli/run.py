"""`lumibot-duckdb run`: runs an unmodified script on the store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from lumibot_duckdb.cli.errors import fail
from lumibot_duckdb.cli.script_arguments import add_script_arguments, check_switches, file_to_run, script_command
from lumibot_duckdb.cli.store import chosen_path
from lumibot_duckdb.cli.suggestions import similar_file

_DESCRIPTION = """\
Run an unmodified script like `python SCRIPT ARGUMENT...`, with its backtests on the store.

Lumibot's data sources for Polygon, Yahoo, Alpaca, CCXT and your own frames are replaced by those of lumibot-duckdb.
Options before SCRIPT belong to lumibot-duckdb, and everything after SCRIPT belongs to the script.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb run my_strategy.py
  lumibot-duckdb run --store research.duckdb my_strategy.py --symbol SPY
  BACKTESTING_DATA_SOURCE=yahoo lumibot-duckdb run -m my_strategies.momentum

LUMIBOT_USE_DUCKDB=false runs every backtest on Lumibot's own storage; LUMIBOT_DUCKDB_ROLLOUT=25 runs 25 % on the store.

exit codes: those of the script; 2 wrong usage, or the script cannot be read.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.usage = "lumibot-duckdb run [-h] [--store PATH] [-m] SCRIPT [ARGUMENT ...]"
    add_script_arguments(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Callable[[], int]:
    """Return a function that runs the script, because the script decides how the process ends, not the command."""
    script, *its_arguments = script_command(arguments, "run")
    check_switches(file_to_run(script, arguments.is_module))
    from lumibot_duckdb.activation.activation import activate
    from lumibot_duckdb.activation.env_overrides import override_environment
    from lumibot_duckdb.activation.script import run_module, run_script
    from lumibot_duckdb.storage.location import ENVIRONMENT_VARIABLE

    if arguments.store is not None:
        override_environment({ENVIRONMENT_VARIABLE: str(chosen_path(arguments.store))})
    activate()
    run = run_module if arguments.is_module else run_script
    hint = "" if arguments.is_module or Path(script).exists() else similar_file(Path(script))
    return lambda: _as_python_would(lambda: run(script, its_arguments), hint)


def _as_python_would(run: Callable[[], None], hint: str) -> int:
    """Run a script and let Python handle how it ends. A traceback begins in the script."""
    from lumibot_duckdb.activation.script import NoScriptError, traceback_of_script

    try:
        run()
    except NoScriptError as error:
        return fail(f"{error}{hint}", 2)
    except SystemExit:
        raise
    except BaseException as error:
        _show_from(traceback_of_script(error))
        raise
    return 0


def _show_from(traceback: TracebackType | None) -> None:
    """Show the error that ends this process with this traceback, through the current `sys.excepthook`."""
    show = sys.excepthook

    def show_of_script(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        show(kind, error.with_traceback(traceback), traceback)

    sys.excepthook = show_of_script
