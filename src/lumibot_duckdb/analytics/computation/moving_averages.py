"""Moving averages."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.rolling import weighted_mean, window_sum


def sma(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the mean of the last n closes."""
    return (window_sum(bars.close, n) / n,)


def ema(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the exponential average."""
    return (ta.EMA(bars.close, n),)


def wma(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the weighted average."""
    return (weighted_mean(bars.close, n),)


def dema(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the double exponential average."""
    return (ta.DEMA(bars.close, n),)


def tema(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the triple exponential average."""
    return (ta.TEMA(bars.close, n),)


def hma(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return Hull's average."""
    difference = 2 * weighted_mean(bars.close, n // 2) - weighted_mean(bars.close, n)
    average = np.full(len(bars), np.nan)
    average[n - 1 :] = weighted_mean(difference[n - 1 :], isqrt(n))
    return (average,)


def kama(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return Kaufman's adaptive average."""
    return (ta.KAMA(bars.close, n),)
