"""The script that a command runs, and the script's arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.settings import settings


def add_script_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a command take a script or a module, and the arguments of that script."""
    parser.add_argument("-m", dest="is_module", action="store_true", help="SCRIPT is the name of a module")
    parser.add_argument("command", metavar="SCRIPT", nargs=argparse.REMAINDER, help="the script and its arguments")


def script_command(arguments: argparse.Namespace, verb: str) -> list[str]:
    """Return the script and its arguments. Raises `CommandError` if there is none for the command `verb`."""
    command: list[str] = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise CommandError(f"name a script to {verb} (see lumibot-duckdb {verb} --help)")
    return command


def file_to_run(script: str, is_module: bool) -> Path | None:
    """Return the file of a script or module, None if the file of a module is not known before it runs.

    Raises `CommandError` for a module that does not exist.
    """
    from lumibot_duckdb.activation.script import NoScriptError, file_of_module

    try:
        if is_module:
            return file_of_module(script)
        file = Path(script)
        return file / "__main__.py" if file.is_dir() else file
    except NoScriptError as error:
        raise CommandError(str(error)) from None


def check_switches(script: Path | None) -> None:
    """Refuse wrong settings of the storage now: the script might run for long before a backtest refuses them."""
    from lumibot_duckdb.sources.own_bars.storing import source_to_store_under
    from lumibot_duckdb.sources.shared.environment import flag
    from lumibot_duckdb.sources.shared.switch import USE_DUCKDB, rollout
    from lumibot_duckdb.sources.shared.telemetry import LOG_STATS
    from lumibot_duckdb.storage.connection.engine import check_environment

    known = settings(script)
    try:
        for variable in (USE_DUCKDB, LOG_STATS):
            flag(variable, known)
        rollout(known)
        source_to_store_under(environment=known)
        check_environment(known)
    except ValueError as error:
        raise CommandError(str(error)) from None
