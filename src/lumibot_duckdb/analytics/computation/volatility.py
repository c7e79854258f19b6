"""How much prices move."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.rolling import window_deviation, window_sum


def atr(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the average true range."""
    return (ta.ATR(bars.high, bars.low, bars.close, n),)


def natr(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the average true range in percent of the close."""
    return (ta.NATR(bars.high, bars.low, bars.close, n),)


def volatility(ta: Any, bars: Bars, n: int, annual: float | None) -> tuple[FloatArray]:
    """Return the deviation of logarithmic returns."""
    returns = np.diff(np.log(bars.close))
    deviation = np.full(len(bars), np.nan)
    deviation[1:] = _known(returns, window_deviation, n)
    return (deviation * np.sqrt(n / (n - 1) * (annual or 1.0)),)


def parkinson(ta: Any, bars: Bars, n: int, annual: float | None) -> tuple[FloatArray]:
    """Return the volatility of ranges."""
    squares = _log_ratio(bars.high, bars.low) ** 2
    return (np.sqrt(_known(squares, window_sum, n) / (4 * n * np.log(2)) * (annual or 1.0)),)


def garman_klass(ta: Any, bars: Bars, n: int, annual: float | None) -> tuple[FloatArray]:
    """Return the volatility of ranges and changes."""
    ranges, changes = _log_ratio(bars.high, bars.low), _log_ratio(bars.close, bars.open)
    squares = ranges**2 / 2 - (2 * np.log(2) - 1) * changes**2
    return (np.sqrt(_known(squares, window_sum, n) / n * (annual or 1.0)),)


def zscore(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return how many deviations the close is above its mean."""
    return ((bars.close - window_sum(bars.close, n) / n) / window_deviation(bars.close, n),)


def drawdown(ta: Any, bars: Bars) -> tuple[FloatArray]:
    """Return the distance to the highest close so far."""
    highest = np.maximum.accumulate(bars.close)
    return (np.where(highest > 0, bars.close / highest - 1, np.nan),)


def _log_ratio(prices: FloatArray, others: FloatArray) -> FloatArray:
    """Return the logarithm of a ratio of prices, NaN where one is not positive: two negative ones have a ratio, too."""
    ratio: FloatArray = np.where((prices > 0) & (others > 0), np.log(prices / others), np.nan)
    return ratio


def _known(values: FloatArray, over_window: Any, n: int) -> FloatArray:
    """Return a result over windows in which all values exist: prices that are not positive have no logarithm."""
    exist = np.isfinite(values)
    result: FloatArray = over_window(np.where(exist, values, 0.0), n)
    if not bool(exist.all()):
        result[window_sum(exist.astype(float), n) < n] = np.nan
    return result
