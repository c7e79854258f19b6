"""Panels of features and targets for research and machine learning, and splits of their rows into training and test.

Depends on the storage and its analytics, not on Lumibot. Names are imported when they are first used: every storage can
make panels, and few do. Only the splits import scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.panels.arrays import PanelArrays
    from lumibot_duckdb.panels.errors import PanelError
    from lumibot_duckdb.panels.splits import PurgedKFold, PurgedWalkForward
    from lumibot_duckdb.panels.targets import ForwardReturn, Target, TripleBarrier

_MODULE_OF = {
    "ForwardReturn": "targets",
    "PanelArrays": "arrays",
    "PanelError": "errors",
    "PurgedKFold": "splits",
    "PurgedWalkForward": "splits",
    "Target": "targets",
    "TripleBarrier": "targets",
}

__all__ = ["ForwardReturn", "PanelArrays", "PanelError", "PurgedKFold", "PurgedWalkForward", "Target", "TripleBarrier"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
