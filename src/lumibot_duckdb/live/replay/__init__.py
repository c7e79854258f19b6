"""Backtests a session of live trading from its recorded bars, and compares what was seen and done.

`replay.py` is what users call: `script_strategy.py` finds the strategy, `recorded_bars.py` the series and `backtest.py`
runs it, observed as the session was. `requests.py`, `orders.py` and `equity.py` compare.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.live.replay.replay import Replay, replay_session

_MODULE_OF = {"Replay": "replay", "replay_session": "replay"}

__all__ = ["Replay", "replay_session"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
