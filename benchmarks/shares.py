"""Whose code a backtest spends its time in, by samples of the strategy's stack."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType

_SECONDS = 0.005
_SWITCH_SECONDS = 0.0001
"""How soon a running thread gives way to the one that takes the sample, so that it is of what ran at that time."""
_STRATEGY = "lumibot.strategies.strategy_executor"
"""Lumibot runs a strategy in a thread, which has a function of this module on its stack."""
_WAITING = ("threading", "queue")
"""The modules whose functions wait."""


@contextmanager
def sampled(owners: Mapping[str, str]) -> Iterator[Counter[str]]:
    """Count, every 5 ms in the block, the owner of what the strategy's thread runs.

    `owners` maps names of modules and packages, "lumibot" among them, to owners; the longest name counts. Code of other
    packages counts for its caller, so that pandas, called by lumibot-duckdb, is lumibot-duckdb's.
    """
    counts: Counter[str] = Counter()
    ended = Event()

    def count() -> None:
        while not ended.wait(_SECONDS):
            for frame in sys._current_frames().values():
                names = list(_modules(frame))
                if _STRATEGY in names and names[0] not in _WAITING:
                    counts[_owner(names, owners)] += 1

    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    sampler = Thread(target=count, name="sampler")
    sampler.start()
    try:
        yield counts
    finally:
        ended.set()
        sampler.join()
        sys.setswitchinterval(before)


def _modules(frame: FrameType | None) -> Iterator[str]:
    """Yield the module names of a stack, the innermost first."""
    while frame is not None:
        yield frame.f_globals.get("__name__", "")
        frame = frame.f_back


def _owner(names: list[str], owners: Mapping[str, str]) -> str:
    """Return the owner of the first of the modules that has one."""
    parents = (name[:end] for name in names for end in _ends(name))
    return next(owners[parent] for parent in parents if parent in owners)


def _ends(name: str) -> list[int]:
    """Return where the names of a module and of its packages end, the longest first."""
    return [len(name), *(number for number in reversed(range(len(name))) if name[number] == ".")]
