"""Sums, deviations and extremes of the last n values. Sums are without the rounding of running sums.

A running sum keeps the rounding errors of everything that it has seen: after a price fell from 100 to 0.01, or a volume
to 0, the errors are as large as the values. So the values are cut into blocks of n. A window consists of the end of one
block and the beginning of the next, for which sums within the blocks are enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray

_FEW_BLOCKS = 8
"""NumPy's cumulative sums are faster than adding columns for fewer blocks than this for each value in one."""


def window_sum(values: FloatArray, n: int) -> FloatArray:
    """Return the sum of the last n values; NaN where there are fewer."""
    sums = np.full(len(values), np.nan)
    if len(values) < n:
        return sums
    ends, begins = _sums(_blocks(values, n))
    sums[n - 1 :] = ends[: len(values) - n + 1] + begins[n - 1 : len(values)]
    return sums


def window_mean(values: FloatArray, n: int) -> FloatArray:
    """Return the mean of the last n values, which may begin with missing ones; NaN where there are fewer."""
    first = int(np.argmax(~np.isnan(values))) if len(values) else 0
    return np.concatenate([values[:first], window_sum(values[first:], n) / n])


def weighted_mean(values: FloatArray, n: int) -> FloatArray:
    """Return the mean of the last n values with the weights 1, 2, ..., n; NaN where there are fewer."""
    means = np.full(len(values), np.nan)
    if len(values) < n:
        return means
    blocks = _blocks(values, n)
    # The end of a block begins the window, with the weights 1, 2, ...: that is the sum of its sums. The next ones begin
    # with n - place + 1, if `place` values of the next block are in the window.
    end_sums, begin_sums = _sums(blocks)
    weighted_ends = _sums_to_end(end_sums.reshape(blocks.shape)).ravel()
    _, weighted_begins = _sums(blocks * np.arange(1, n + 1))
    ends, begins = slice(0, len(values) - n + 1), slice(n - 1, len(values))
    in_end = n - np.arange(len(values) - n + 1) % n
    total = weighted_ends[ends] + in_end * begin_sums[begins] + weighted_begins[begins]
    means[n - 1 :] = total / (n * (n + 1) / 2)
    return means


def window_deviation(values: FloatArray, n: int) -> FloatArray:
    """Return the population deviation of the last n values; NaN where there are fewer."""
    deviations = np.full(len(values), np.nan)
    if len(values) < n:
        return deviations
    blocks = _blocks(values, n)
    # Relative to the first value of a block, or to the last: these are in the window, so the differences are small.
    first, last = blocks[:, :1], blocks[:, -1:]
    from_last, from_first = blocks - last, blocks - first
    end_sums, _ = _sums(from_last)
    _, begin_sums = _sums(from_first)
    end_squares, _ = _sums(from_last**2)
    _, begin_squares = _sums(from_first**2)
    ends, begins = slice(0, len(values) - n + 1), slice(n - 1, len(values))
    place = np.arange(len(values) - n + 1) % n
    in_end, in_begin = n - place, place  # how many values are in the one block, and in the next
    a, b = end_sums[ends], np.where(in_begin > 0, begin_sums[begins], 0.0)
    squares = end_squares[ends] - a**2 / in_end
    other = np.where(in_begin > 0, begin_squares[begins] - b**2 / np.maximum(in_begin, 1), 0.0)
    apart = (np.repeat(last, n)[ends] + a / in_end) - (np.repeat(first, n)[begins] + b / np.maximum(in_begin, 1))
    total = np.maximum(squares, 0) + np.maximum(other, 0) + apart**2 * in_end * in_begin / n
    deviations[n - 1 :] = np.sqrt(total / n)
    return deviations


def highest(ta: Any, values: FloatArray, n: int) -> FloatArray:
    """Return the highest of the last n values. TA-Lib refuses n = 1."""
    found: FloatArray = values if n == 1 else ta.MAX(values, n)
    return found


def lowest(ta: Any, values: FloatArray, n: int) -> FloatArray:
    """Return the lowest of the last n values."""
    found: FloatArray = values if n == 1 else ta.MIN(values, n)
    return found


def _blocks(values: FloatArray, n: int) -> FloatArray:
    """Return the values as rows of n; the last row is filled with the last value."""
    return np.pad(values, (0, -len(values) % n), mode="edge").reshape(-1, n)


def _sums(blocks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sum from each value to the end of its block, and from the beginning of its block to each value.

    The latter is 0 for the last value of a block: the window there is the whole block, which the former has.
    """
    from_begin = _sums_from_begin(blocks)
    from_begin[:, -1] = 0.0
    return _sums_to_end(blocks).ravel(), from_begin.ravel()


def _sums_from_begin(blocks: FloatArray) -> FloatArray:
    if len(blocks) <= _FEW_BLOCKS * blocks.shape[1]:
        few: FloatArray = np.cumsum(blocks, axis=1)
        return few
    sums: FloatArray = blocks.copy()
    for place in range(1, blocks.shape[1]):
        sums[:, place] += sums[:, place - 1]
    return sums


def _sums_to_end(blocks: FloatArray) -> FloatArray:
    if len(blocks) <= _FEW_BLOCKS * blocks.shape[1]:
        return np.flip(np.cumsum(np.flip(blocks, axis=1), axis=1), axis=1)
    sums: FloatArray = blocks.copy()
    for place in range(blocks.shape[1] - 2, -1, -1):
        sums[:, place] += sums[:, place + 1]
    return sums
