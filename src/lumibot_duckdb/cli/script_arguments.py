"""The script that a command runs, and the arguments that are its own."""

from __future__ import annotations

import argparse

from lumibot_duckdb.cli.errors import CommandError


def add_script_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a command take a script or a module; what stands after it is the script's."""
    parser.add_argument("-m", dest="is_module", action="store_true", help="SCRIPT is the name of a module")
    parser.add_argument(
        "command", metavar="SCRIPT", nargs=argparse.REMAINDER, help="the script, and the arguments that are its own"
    )


def script_command(arguments: argparse.Namespace, verb: str) -> list[str]:
    """Return the script and its arguments. Raises `CommandError` if there is none to `verb`."""
    command: list[str] = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise CommandError(f"name a script to {verb} (see lumibot-duckdb {verb} --help)")
    return command
