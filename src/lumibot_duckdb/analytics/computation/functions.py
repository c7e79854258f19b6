"""The function of each indicator."""

from __future__ import annotations

from collections.abc import Callable

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.computation import bands, momentum, moving_averages, trend, volatility, volume

_MODULES = {
    "moving averages": moving_averages,
    "bands": bands,
    "momentum": momentum,
    "trend": trend,
    "volatility": volatility,
    "volume": volume,
}


def function_of(group: str, name: str) -> Callable[..., tuple[FloatArray, ...]]:
    """Return the function of an indicator, from the module of its group."""
    found: Callable[..., tuple[FloatArray, ...]] = getattr(_MODULES[group], name)
    return found
