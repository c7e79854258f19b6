"""The keys that a script loads by itself, told to the process that hides them: in a pipe, so that no file has them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from threading import Thread
from typing import Any

from dotenv.main import DotEnv

from lumibot_duckdb.comparison.redaction import is_secret

_END = "\0"  # which no environment variable can have
_PATIENCE = 2.0
"""Seconds to wait for the end of the pipe, which a process that left its script's group may hold open."""


class KeysHeard:
    """Takes in the keys that a process tells, from now on. The process is given `pipe`."""

    def __init__(self) -> None:
        self._heard = bytearray()
        self._reading, self.pipe = os.pipe()
        self._listening = Thread(target=self._listen, daemon=True, name="keys to hide")
        self._listening.start()

    def end(self) -> frozenset[str]:
        """Return the keys, once the process has ended."""
        os.close(self.pipe)
        self._listening.join(_PATIENCE)
        return frozenset(filter(None, os.fsdecode(bytes(self._heard)).split(_END)))

    def _listen(self) -> None:
        while heard := os.read(self._reading, 65_536):
            self._heard += heard
        os.close(self._reading)


def tell_keys(pipe: int) -> set[str]:
    """Tell each key as soon as this process has it, since it may end without a word. Return those told, as they come.

    Keys are what is put in the environment, or read with `dotenv`, under the name of one.
    """
    os.set_inheritable(pipe, False)
    itself = os.fstat(pipe)
    told: set[str] = set()

    def tell(name: str, value: str) -> None:
        if value in told or not is_secret(name, value):
            return
        told.add(value)
        try:
            if os.path.samestat(os.fstat(pipe), itself):  # a script may close what it does not know
                os.write(pipe, os.fsencode(value + _END))
        except OSError:
            return  # nobody listens any more

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.putenv":
            tell(*map(os.fsdecode, arguments))

    sys.addaudithook(on_event)
    _follow_dotenv(tell)
    return told


def _follow_dotenv(tell: Callable[[str, str], None]) -> None:
    read = DotEnv.dict

    @wraps(read)
    def read_and_told(self: DotEnv) -> dict[str, str | None]:
        values = read(self)
        for name, value in values.items():
            tell(name, value or "")
        return values

    setattr(DotEnv, read.__name__, read_and_told)
