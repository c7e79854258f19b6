"""Says, before a backtest starts, that its source has no counterpart here, so that nobody takes it for served."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from lumibot_duckdb.lumibot_contract.callers import is_of
from lumibot_duckdb.sources.registry import CLASSES, SOURCES
from lumibot_duckdb.sources.shared.lifecycle import is_within_backtest
from lumibot_duckdb.sources.shared.telemetry import log_line

CHOICE = "BACKTESTING_DATA_SOURCE"
"""Lumibot's environment variable that names the source of every backtest; it overrides the class that is passed."""

_OURS = __name__.split(".")[0]
_LUMIBOTS = frozenset((each.lumibot_module, each.name) for each in CLASSES.values())
_reported: set[str] = set()
_say: Callable[[str], object] = log_line


def report_through(say: Callable[[str], object]) -> None:
    """Send reports to `say` from now on, instead of Lumibot's log."""
    global _say
    _say = say


def is_served(kind: type[Any]) -> bool:
    """Return whether a source class is ours, is replaced by ours, or is derived from such a class."""
    for base in kind.__mro__:
        if is_of(base.__module__, _OURS):
            return True
        if is_of(base.__module__, "lumibot"):
            return (base.__module__, base.__name__) in _LUMIBOTS
    return False


def report_choice(given: Any) -> None:
    """Report the source of a backtest that is about to be set up: what the environment chooses, or the given class."""
    chosen = _chosen()
    if not chosen:
        _report_classes([given])
    elif chosen.lower() not in SOURCES:
        _report(f"{CHOICE}={chosen}")


def report_sources(sources: Iterable[Any]) -> None:
    """Report the sources of a run that is about to begin, unless the environment's choice was reported."""
    if not (is_within_backtest() and _chosen()):
        _report_classes(type(each) for each in sources if getattr(each, "IS_BACKTESTING_DATA_SOURCE", False))


def _chosen() -> str:
    """Return what the environment chooses; "" if nothing."""
    chosen = os.environ.get(CHOICE, "").strip()
    return "" if chosen.lower() == "none" else chosen


def _report_classes(kinds: Iterable[Any]) -> None:
    for kind in kinds:
        if isinstance(kind, type) and not is_served(kind):
            _report(kind.__name__)


def _report(name: str) -> None:
    if name not in _reported:
        _reported.add(name)
        _say(f"lumibot-duckdb does not serve {name}: this backtest runs on Lumibot's own class, and nothing is stored")
