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


def in_one_line(message: str) -> str:
    """Return DuckDB's message without the drawing that shows where in the query it is."""
    lines = [line.strip() for line in message.splitlines()]
    place = next((number for number, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
    return " ".join(line for line in lines[:place] if line)
