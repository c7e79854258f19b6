"""`lumibot-duckdb run`: runs an unmodified script on the store."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lumibot_duckdb import clock
from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.errors import CommandError, fail
from lumibot_duckdb.cli.live_recording import record_live
from lumibot_duckdb.cli.results_store import add_results, open_results
from lumibot_duckdb.cli.script_arguments import add_script_arguments, check_switches, file_to_run, script_command
from lumibot_duckdb.cli.store import chosen_path
from lumibot_duckdb.cli.suggestions import similar_file

if TYPE_CHECKING:
    from lumibot_duckdb.sweeps.run_recording import RunRecorder

_DESCRIPTION = """\
Run an unmodified script like `python SCRIPT ARGUMENT...`, with its backtests on the store.

Lumibot's data sources for Polygon, Yahoo, Alpaca, CCXT and your own frames are replaced by those of lumibot-duckdb.
Options before SCRIPT belong to lumibot-duckdb, and everything after SCRIPT belongs to the script.

--record stores the result of each backtest when it ends: parameters, statistics, equity, trades and daily returns. It
changes neither what the script does nor its files. `lumibot-duckdb results` shows and compares them.

--live is for scripts that trade. The settled bars that Lumibot's live sources return are recorded in the store, and
what the strategy requests, orders and owns in the results: all in the background. Lines at the end say how much. If
`lumibot-duckdb live check` has found that recorded bars are the provider's, history comes from the store where it is
covered. `lumibot-duckdb live replay` backtests a recorded session.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb run my_strategy.py
  lumibot-duckdb run --store research.duckdb my_strategy.py --symbol SPY
  BACKTESTING_DATA_SOURCE=yahoo lumibot-duckdb run -m my_strategies.momentum
  lumibot-duckdb run --record --name first-try my_strategy.py
  lumibot-duckdb run --live my_strategy.py
  lumibot-duckdb run --live --name crossover-paper my_strategy.py

LUMIBOT_USE_DUCKDB=false runs every backtest on Lumibot's own storage; LUMIBOT_DUCKDB_ROLLOUT=25 runs 25 % on the store.

exit codes: those of the script; 2 wrong usage, or the script cannot be read; 3 the store or the results cannot
be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.usage = (
        "lumibot-duckdb run [-h] [--store PATH] [--record | --live] [--name NAME] [--results FILE] [-m] SCRIPT "
        "[ARG ...]"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--record", action="store_true", help="store the result of each backtest")
    what.add_argument("--live", action="store_true", help="record live trading: bars, and what the strategy does")
    name = parser.add_argument(
        "--name",
        help="of the recorded backtest (default: that of the script, and the time) or live session (default: that of "
        "the strategy)",
    )
    completed_by(name, nothing)
    add_results(parser)
    add_script_arguments(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Callable[[], int]:
    """Return a function that runs the script, because the script decides how the process ends, not the command."""
    script, *its_arguments = script_command(arguments, "run")
    file = file_to_run(script, arguments.is_module)
    check_switches(file)
    recorder = _recorder(arguments, script, its_arguments, file)
    from lumibot_duckdb.activation.env_overrides import override_environment
    from lumibot_duckdb.activation.script import run_module, run_script
    from lumibot_duckdb.storage.location import ENVIRONMENT_VARIABLE

    if arguments.store is not None:
        override_environment({ENVIRONMENT_VARIABLE: str(chosen_path(arguments.store))})
    if arguments.live:
        record_live(chosen_path(arguments.store, file), file, arguments)
    else:
        from lumibot_duckdb.activation.activation import activate

        activate()
    if recorder is not None:
        recorder.install()
    run = run_module if arguments.is_module else run_script
    hint = "" if arguments.is_module or Path(script).exists() else similar_file(Path(script))
    return lambda: _as_python_would(lambda: run(script, its_arguments), hint)


def _recorder(
    arguments: argparse.Namespace, script: str, its_arguments: list[str], file: Path | None
) -> RunRecorder | None:
    """Return what records the backtests; None without `--record`. Raises `CommandError` for a name that is taken."""
    if arguments.live:
        return None
    if not arguments.record:
        given = [f"--{option}" for option in ("name", "results") if getattr(arguments, option) is not None]
        if given:
            raise CommandError(f"{given[0]} is for run --record and run --live")
        return None
    from lumibot_duckdb.results.errors import InvalidResultError
    from lumibot_duckdb.results.names import check_name
    from lumibot_duckdb.sweeps.run_recording import RunRecorder

    results = open_results(arguments, file)
    name = arguments.name or f"{Path(script).stem}-{clock.utc_now().astimezone():%Y%m%d-%H%M%S}"
    try:
        check_name(name)
    except InvalidResultError as error:
        raise CommandError(str(error)) from None
    if results.has_sweep(name):
        raise CommandError(
            f"{results.path} has results with the name {name} already: choose another, or delete them first "
            f"(lumibot-duckdb results delete {shlex.quote(name)})"
        )
    command = shlex.join([*(["-m"] if arguments.is_module else []), script, *its_arguments])
    return RunRecorder(results, name, command, file or Path(script), chosen_path(arguments.store, file))


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
