"""The error that ends a command with a message and an exit code, and how the message is printed."""

from __future__ import annotations

import sys

from lumibot_duckdb.cli.layout import printable


class CommandError(Exception):
    """A command cannot continue. The message says what was wrong and how to fix it; `exit_code` 2 means wrong usage."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def fail(message: str, code: int) -> int:
    """Print an error as one line on standard error, and return the exit code."""
    print(f"lumibot-duckdb: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
