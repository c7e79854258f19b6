"""Passes the keys that a script loads to the process that redacts its output, through a pipe instead of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from threading import Thread
from typing import Any

from dotenv.main import DotEnv

from lumibot_duckdb.comparison.redaction import is_secret

_END = "\0"  # cannot be part of an environment variable
_GRACE_SECONDS = 2.0
"""How long to wait for the end of the pipe, which a process that left its script's group may keep open."""


class SecretReader:
    """Collects the keys that a process writes to `pipe`."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._read_end, self.pipe = os.pipe()
        self._thread = Thread(target=self._read, daemon=True, name="keys to hide")
        self._thread.start()

    def end(self) -> frozenset[str]:
        """Return the keys. Call this when the process has ended."""
        os.close(self.pipe)
        self._thread.join(_GRACE_SECONDS)
        return frozenset(filter(None, os.fsdecode(bytes(self._received)).split(_END)))

    def _read(self) -> None:
        while received := os.read(self._read_end, 65_536):
            self._received += received
        os.close(self._read_end)


def report_secrets(pipe: int) -> set[str]:
    """Write each key to the pipe as soon as this process has it, because it may exit abruptly at any time.

    A key is a value that is set in the environment, or read with `dotenv`, under a name that says so. Returns a set to
    which every reported key is added.
    """
    os.set_inheritable(pipe, False)
    original = os.fstat(pipe)
    reported: set[str] = set()

    def report(name: str, value: str) -> None:
        if value in reported or not is_secret(name, value):
            return
        reported.add(value)
        try:
            if os.path.samestat(os.fstat(pipe), original):  # a script may close descriptors that it does not know
                os.write(pipe, os.fsencode(value + _END))
        except OSError:
            return  # the reader has gone

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.putenv":
            report(*map(os.fsdecode, arguments))

    sys.addaudithook(on_event)
    _report_dotenv(report)
    return reported


def _report_dotenv(report: Callable[[str, str], None]) -> None:
    read = DotEnv.dict

    @wraps(read)
    def read_and_report(self: DotEnv) -> dict[str, str | None]:
        values = read(self)
        for name, value in values.items():
            report(name, value or "")
        return values

    setattr(DotEnv, read.__name__, read_and_report)
