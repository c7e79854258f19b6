"""Replaces an attribute of a class or a module for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of `owner` within a `with` block. Pass a `staticmethod` or `property` object as such."""
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def without_pauses(module: Any) -> Iterator[None]:
    """Let `time.sleep` return at once in a module that has imported `time`."""
    with replaced(module, "time", _TimeWithoutPauses()):
        yield


class _TimeWithoutPauses:
    """The module `time`, except that nothing sleeps."""

    def sleep(self, seconds: float) -> None:
        """Return at once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
