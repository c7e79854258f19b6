"""The error that ends a command with a message and an exit code, and how a command says what went wrong."""

from __future__ import annotations

import sys

from lumibot_duckdb.cli.layout import printable


class CommandError(Exception):
    """A command cannot go on. The message says what was wrong and what to do; `exit_code` is 2 for a wrong call."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def fail(message: str, code: int) -> int:
    """Say in one line what went wrong, and return the exit code."""
    print(f"lumibot-duckdb: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
