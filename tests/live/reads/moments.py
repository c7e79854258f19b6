"""A clock that a test sets: for this package, and for the modules of Lumibot that read live bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

from lumibot.tools import shared_bar_cache

from lumibot_duckdb import clock


class SetClock:
    """Tells the time that it was set to."""

    def __init__(self, now: dt.datetime) -> None:
        self.now = now

    def utc_now(self) -> dt.datetime:
        """Return the time, in UTC."""
        return self.now.astimezone(dt.timezone.utc)

    def let_pass(self, **duration: float) -> None:
        """Move on."""
        self.now += dt.timedelta(**duration)


@contextmanager
def set_clock(now: dt.datetime, *modules: ModuleType) -> Iterator[SetClock]:
    """Set the clock of this package, of Lumibot's bar cache, and of further modules of Lumibot."""
    told = SetClock(now)

    class Told(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return told.now.astimezone(tz) if tz is not None else told.now.astimezone().replace(tzinfo=None)

    with ExitStack() as patched:
        patched.enter_context(mock.patch.object(clock, "utc_now", told.utc_now))
        for module in (shared_bar_cache, *modules):
            for name in ("datetime", "dt"):
                held = vars(module).get(name)
                if held is dt.datetime or hasattr(held, "utcfromtimestamp"):  # the class, or a lazy one
                    patched.enter_context(mock.patch.object(module, name, Told))
                elif held is not None and hasattr(held, "timedelta"):  # the module `datetime`, or Lumibot's lazy one
                    namespace = SimpleNamespace(**{**vars(dt), "datetime": Told})
                    patched.enter_context(mock.patch.object(module, name, namespace))
        yield told
