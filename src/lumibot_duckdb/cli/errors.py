"""The error that ends a command with a message and an exit code."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot go on. The message says what was wrong and what to do; `exit_code` is 2 for a wrong call."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
