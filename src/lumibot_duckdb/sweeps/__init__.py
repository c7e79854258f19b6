"""Parameter sweeps: many backtests of one script or strategy, each in its own process."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.sweeps.search.dimensions import Interval, Steps
    from lumibot_duckdb.sweeps.sweep import Sweep, run

__all__ = ["Interval", "Steps", "Sweep", "run"]

_MODULE_OF = {
    "Interval": "lumibot_duckdb.sweeps.search.dimensions",
    "Steps": "lumibot_duckdb.sweeps.search.dimensions",
    "Sweep": "lumibot_duckdb.sweeps.sweep",
    "run": "lumibot_duckdb.sweeps.sweep",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
