"""What trials are ranked by, for many trials or resamples at once.

The values are those of `trading_statistics.return_statistics`, which calls quantstats for one series; the tests compare
them. Here, a Sharpe ratio without any variation is 0 instead of missing: a trial that did nothing earned nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lumibot_duckdb.comparison.trading_statistics import PERIODS_PER_YEAR
from lumibot_duckdb.sweeps.overfitting.returns import FloatArray

_ROUNDING = 1e-12
"""A variance that is a smaller part of the mean square comes from rounding."""


@dataclass(frozen=True)
class Measure:
    """A value of a series of daily returns that depends only on sums over its days.

    So the sums of blocks of days, or of each day times how often a resample has it, are enough.

    Attributes:
        parts: Returns what is to be summed: arrays of the shape of the returns (above the risk-free rate).
        value: Returns the values, from the sums of these parts and the number of days.
    """

    parts: Callable[[FloatArray], Sequence[FloatArray]]
    value: Callable[[Sequence[FloatArray], int], FloatArray]


def _sharpe(sums: Sequence[FloatArray], days: int) -> FloatArray:
    mean = sums[0] / days
    return _ratio(mean * math.sqrt(PERIODS_PER_YEAR), _deviation(sums, days))


def _deviation(sums: Sequence[FloatArray], days: int) -> FloatArray:
    """Return the standard deviation of a sample; 0 where it comes from rounding."""
    square = sums[1] / days
    variance = square - (sums[0] / days) ** 2
    return np.asarray(np.sqrt(np.where(variance > _ROUNDING * square, variance, 0.0) * (days / (days - 1))))


def _sortino(sums: Sequence[FloatArray], days: int) -> FloatArray:
    return _ratio(sums[0] / days * math.sqrt(PERIODS_PER_YEAR), np.sqrt(np.maximum(sums[1], 0.0) / days))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _growth(returns: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):  # a total loss
        return np.maximum(np.log1p(returns), -700.0)


MEASURES: dict[str, Measure] = {
    "sharpe": Measure(lambda returns: (returns, returns**2), _sharpe),
    "sortino": Measure(lambda returns: (returns, np.minimum(returns, 0.0) ** 2), _sortino),
    "total_return": Measure(lambda returns: (_growth(returns),), lambda sums, days: np.expm1(sums[0])),
    "volatility": Measure(
        lambda returns: (returns, returns**2),
        lambda sums, days: _deviation(sums, days) * math.sqrt(PERIODS_PER_YEAR),
    ),
    "winning_days": Measure(
        lambda returns: ((returns > 0).astype(float), (returns != 0).astype(float)),
        lambda sums, days: _ratio(sums[0], sums[1]),
    ),
}
"""By the names of `trading_statistics.STYLES`."""

ABOVE_RISK_FREE = frozenset({"sharpe", "sortino"})
"""Measures of returns above the risk-free rate; the others are of the returns themselves."""

RESAMPLED = (*MEASURES, "cagr", "max_drawdown", "calmar")
"""The objectives that depend on daily returns only, and so have a bootstrap interval."""


def resampled_values(name: str, paths: FloatArray, years: float) -> FloatArray:
    """Return a measure of each of several series of returns (series by days)."""
    if name in MEASURES:
        measure = MEASURES[name]
        return measure.value([part.sum(axis=1) for part in measure.parts(paths)], paths.shape[1])
    if name == "max_drawdown":
        return _drawdown(paths)
    yearly = np.expm1(_growth(paths).sum(axis=1) / years)
    return yearly if name == "cagr" else _ratio(yearly, np.abs(_drawdown(paths)))


def _drawdown(paths: FloatArray) -> FloatArray:
    """Return how far the value fell below its maximum until then, at most: 0 or a negative fraction."""
    values = np.cumsum(_growth(paths), axis=1)
    tops = np.maximum(np.maximum.accumulate(values, axis=1), 0.0)  # the value before the first day counts
    return np.asarray(np.expm1((values - tops).min(axis=1)))
