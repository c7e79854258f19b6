"""Direction and strength of trends, and levels that follow them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.rolling import highest, lowest


def adx(ta: Any, bars: Bars, n: int) -> tuple[FloatArray, ...]:
    """Return the average directional index, and the two indicators of direction."""
    prices = bars.high, bars.low, bars.close
    return ta.ADX(*prices, n), ta.PLUS_DI(*prices, n), ta.MINUS_DI(*prices, n)


def aroon(ta: Any, bars: Bars, n: int) -> tuple[FloatArray, ...]:
    """Return how recent the lowest low and the highest high are, and the difference."""
    down, up = ta.AROON(bars.high, bars.low, n)
    return down, up, up - down


def psar(ta: Any, bars: Bars, step: float, limit: float) -> tuple[FloatArray]:
    """Return the parabolic stop and reverse."""
    return (ta.SAR(bars.high, bars.low, step, limit),)


def supertrend(ta: Any, bars: Bars, n: int, k: float) -> tuple[FloatArray, ...]:
    """Return the Supertrend line, and on which side of the close it is."""
    line, direction = ta.SUPERTREND(bars.high, bars.low, bars.close, n, k)
    return line, np.where(np.isnan(line), np.nan, direction)


def ichimoku(ta: Any, bars: Bars, conversion: int, base: int, span: int) -> tuple[FloatArray, ...]:
    """Return the conversion line, the base line, and the two spans of `base` bars before."""
    conversion_line, base_line = _middle(ta, bars, conversion), _middle(ta, bars, base)
    span_a, span_b = (conversion_line + base_line) / 2, _middle(ta, bars, span)
    return conversion_line, base_line, _later(span_a, base), _later(span_b, base)


def pivot_points(ta: Any, bars: Bars) -> tuple[FloatArray, ...]:
    """Return the pivot and its levels, from the last local day before."""
    starts = bars.day_starts
    if len(starts) < 2:
        return (np.full(len(bars), np.nan),) * 7
    high, low = np.maximum.reduceat(bars.high, starts), np.minimum.reduceat(bars.low, starts)
    close = bars.close[np.append(starts, len(bars))[1:] - 1]
    pivot = (high + low + close) / 3
    levels = (
        pivot,
        2 * pivot - low,
        2 * pivot - high,
        pivot + high - low,
        pivot - high + low,
        high + 2 * (pivot - low),
        low - 2 * (high - pivot),
    )
    return tuple(_later(level, 1)[bars.day_numbers] for level in levels)


def _middle(ta: Any, bars: Bars, n: int) -> FloatArray:
    middle: FloatArray = (highest(ta, bars.high, n) + lowest(ta, bars.low, n)) / 2
    return middle


def _later(values: FloatArray, bars: int) -> FloatArray:
    moved = np.full(len(values), np.nan)
    moved[bars:] = values[: max(0, len(values) - bars)]
    return moved
