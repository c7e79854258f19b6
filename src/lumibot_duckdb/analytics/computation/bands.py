"""Bands around the price, and where the price is between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.rolling import highest, lowest, window_deviation, window_sum


def bollinger(ta: Any, bars: Bars, n: int, k: float) -> tuple[FloatArray, ...]:
    """Return the lower band, the middle, the upper band, the place of the close between them, and their distance."""
    middle = window_sum(bars.close, n) / n
    reach = k * window_deviation(bars.close, n)
    lower, upper = middle - reach, middle + reach
    return lower, middle, upper, (bars.close - lower) / (upper - lower), (upper - lower) / middle


def keltner(ta: Any, bars: Bars, n: int, k: float) -> tuple[FloatArray, ...]:
    """Return the lower band, the middle and the upper band."""
    reach = k * ta.ATR(bars.high, bars.low, bars.close, n)
    middle = np.where(np.isnan(reach), np.nan, ta.EMA(bars.close, n))
    return middle - reach, middle, middle + reach


def donchian(ta: Any, bars: Bars, n: int) -> tuple[FloatArray, ...]:
    """Return the lower band, the middle and the upper band."""
    lower, upper = lowest(ta, bars.low, n), highest(ta, bars.high, n)
    return lower, (upper + lower) / 2, upper
