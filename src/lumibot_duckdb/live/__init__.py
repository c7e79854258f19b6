"""Live trading: records the bars that Lumibot's live sources return, and warms strategies up from the store.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.live.activation import activate, deactivate

__all__ = ["activate", "deactivate"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from lumibot_duckdb.live import activation

        return getattr(activation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
