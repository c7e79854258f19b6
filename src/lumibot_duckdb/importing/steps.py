"""The steps of importing a file, and how much of the work each one is."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias


class Step(Enum):
    """A step: its name, the share of the work that precedes it, and its own, as measured on a text file."""

    READING = ("reading", 0.0, 0.4)
    CHECKING = ("checking", 0.4, 0.1)
    FINDING_TIMEFRAME = ("finding the timeframe", 0.5, 0.12)
    SORTING = ("sorting", 0.62, 0.1)
    STORING = ("storing", 0.72, 0.28)

    def __init__(self, text: str, before: float, share: float) -> None:
        self.text = text
        self._before = before
        self._share = share

    def of_file(self, done: float) -> float:
        """Return how much of the file is done when so much of the step is (both from 0 to 1)."""
        return self._before + self._share * done


OnStep: TypeAlias = Callable[[Step, float], None]
"""Receives a step and how much of it is done, from 0 to 1.

It is called from any thread, and must not raise, except in the step of reading, before anything is stored.
"""


def ignore(step: Step, done: float) -> None:
    """Report to nobody."""
