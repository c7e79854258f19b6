"""Momentum: oscillators of the price, and its changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.rolling import highest, lowest, window_mean

_RSI_ROUNDING = 1e-10
"""What differs by less is the same number, computed in another way."""


def rsi(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the relative strength index."""
    return (ta.RSI(bars.close, n),)


def stochastic(ta: Any, bars: Bars, n: int, k: int, d: int) -> tuple[FloatArray, ...]:
    """Return the place of the close in the range of n bars, smoothed, and its average."""
    average = window_mean(_place_in_range(ta, bars, n), k)
    return _until_both(average, window_mean(average, d))


def fast_stochastic(ta: Any, bars: Bars, n: int, d: int) -> tuple[FloatArray, ...]:
    """Return the place of the close in the range of n bars, and its average."""
    place = _place_in_range(ta, bars, n)
    return _until_both(place, window_mean(place, d))


def _place_in_range(ta: Any, bars: Bars, n: int) -> FloatArray:
    place: FloatArray = ta.STOCHF(bars.high, bars.low, bars.close, n, 1, 0)[0]
    return place


def _until_both(values: FloatArray, average: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return values from where their average begins on, and the average."""
    return np.where(np.isnan(average), np.nan, values), average


def stoch_rsi(ta: Any, bars: Bars, n: int, m: int, d: int) -> tuple[FloatArray, ...]:
    """Return the place of the RSI in its range of m bars, and its average.

    STOCHRSI would turn the rounding of an RSI that stays the same into values from 0 to 100.
    """
    index = ta.RSI(bars.close, n)
    low, high = lowest(ta, index, m), highest(ta, index, m)
    moves = high - low > _RSI_ROUNDING
    place = np.where(moves, 100 * (index - low) / (high - low), np.where(np.isnan(high), np.nan, 0.0))
    place[: n + m - 1] = np.nan
    return _until_both(place, window_mean(place, d))


def macd(ta: Any, bars: Bars, fast: int, slow: int, signal: int) -> tuple[FloatArray, ...]:
    """Return the distance of two exponential averages, its average, and the difference."""
    line, average, histogram = ta.MACD(bars.close, fast, slow, signal)
    return line, average, histogram


def cci(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the commodity channel index."""
    index = ta.CCI(bars.high, bars.low, bars.close, n)
    # TA-Lib gives 0 for a flat range, but the mean of equal numbers may differ from them by rounding.
    return (np.where(ta.MAX(bars.typical, n) == ta.MIN(bars.typical, n), 0.0, index),)


def williams_r(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return Williams' %R."""
    return (ta.WILLR(bars.high, bars.low, bars.close, n),)


def roc(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the change in percent."""
    return (ta.ROC(bars.close, n),)


def momentum(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the change."""
    return (ta.MOM(bars.close, n),)


def trix(ta: Any, bars: Bars, n: int) -> tuple[FloatArray]:
    """Return the change in percent of the close after three exponential averages."""
    return (ta.TRIX(bars.close, n),)
