"""Moving averages."""

from __future__ import annotations

from typing import Any

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.rolling import window_sum


def sma(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the mean of the last n closes."""
    return (window_sum(bars.close, n) / n,)


def ema(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the exponential average."""
    return (ta.EMA(bars.close, n),)


def wma(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the weighted average."""
    return (ta.WMA(bars.close, n),)


def dema(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the double exponential average."""
    return (ta.DEMA(bars.close, n),)


def tema(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the triple exponential average."""
    return (ta.TEMA(bars.close, n),)


def hma(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return Hull's average."""
    return (ta.HMA(bars.close, n),)


def kama(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return Kaufman's adaptive average."""
    return (ta.KAMA(bars.close, n),)
