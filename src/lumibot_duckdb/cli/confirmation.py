"""The question before a command destroys data."""

from __future__ import annotations

import argparse
import sys

from lumibot_duckdb.cli.errors import CommandError


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the options with which a command asks nothing: `--yes`, and `--dry-run`, which changes nothing."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, without doing it")


def confirm(question: str, arguments: argparse.Namespace) -> None:
    """Ask a question on the terminal, unless `--yes` answers it.

    Raises:
        CommandError: The answer was no (exit code 1), or there is no terminal to ask on (2).
    """
    if arguments.yes:
        return
    if not (sys.stdin is not None and sys.stdin.isatty()):
        raise CommandError(f"{question} Nothing was changed, because nobody can answer here: add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().casefold()
    if answer not in ("y", "yes"):
        raise CommandError("nothing was changed", exit_code=1)
