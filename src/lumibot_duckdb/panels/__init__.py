"""Panels of features and targets for research and machine learning, and splits of their rows into training and test.

Depends on the storage and its analytics, not on Lumibot. Only the splits import scikit-learn, when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.panels.errors import PanelError
from lumibot_duckdb.panels.targets import ForwardReturn, Target, TripleBarrier

if TYPE_CHECKING:
    from lumibot_duckdb.panels.splits import PurgedKFold, PurgedWalkForward

__all__ = ["ForwardReturn", "PanelError", "PurgedKFold", "PurgedWalkForward", "Target", "TripleBarrier"]

_SPLITS = ("PurgedKFold", "PurgedWalkForward")


def __getattr__(name: str) -> Any:
    if name in _SPLITS:
        return getattr(import_module("lumibot_duckdb.panels.splits"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
