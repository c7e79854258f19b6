"""What resampled days say: an interval of the objective, and the range of luck of a whole sweep.

Days are resampled in blocks, by the stationary bootstrap: the lengths of blocks are random, and a block that reaches
the last day continues at the first. So the returns of days that follow each other mostly stay together, with their
trends, weekends, and calm and wild times.

References:
    Politis, D. N., and J. P. Romano: "The Stationary Bootstrap". Journal of the American Statistical Association 89,
    1994.
    White, H.: "A Reality Check for Data Snooping". Econometrica 68 (5), 2000.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.sweeps.overfitting.measures import MEASURES, resampled_values
from lumibot_duckdb.sweeps.overfitting.returns import FloatArray

Places: TypeAlias = "np.ndarray[Any, np.dtype[np.intp]]"

_AT_ONCE = 1_000_000
"""Numbers that are computed at once: resamples times days, or times trials."""


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval of a statistic.

    Attributes:
        low, high: The interval: quantiles of the resamples' values.
        confidence: How much of them it contains (0.95).
        block: The mean length of blocks, in days.
        resamples: The number of resamples.
    """

    low: float
    high: float
    confidence: float
    block: float
    resamples: int


@dataclass(frozen=True)
class LuckRange:
    """The best Sharpe ratio (of a year) of sweeps like this one in which no trial has an edge.

    Attributes:
        best: The best Sharpe ratio of each simulated sweep.
        spread: The standard deviation of the Sharpe ratios of each simulated sweep; 0 for one trial.
        probability: How often luck alone finds at least the Sharpe ratio of the trial in question.
        block: The mean length of blocks, in days.
    """

    best: FloatArray
    spread: FloatArray
    probability: float
    block: float

    def quantile(self, part: float) -> float:
        """Return the Sharpe ratio that a part of the simulated sweeps do not exceed."""
        return float(np.quantile(self.best, part))


def block_length(days: int) -> float:
    """Return the mean length of blocks: the cube root of the number of days, rounded up.

    The best length grows with the cube root (Politis and White, Econometric Reviews 23 (1), 2004). Its factor depends
    on how days are related, which cannot be estimated well from a few years of returns that are hardly correlated; 1
    keeps two weeks together in ten years, and a week in one.

    >>> [block_length(days) for days in (100, 365, 3650)]
    [5.0, 8.0, 16.0]
    """
    return float(math.ceil(round(days ** (1 / 3), 9)))


def resampled_days(days: int, resamples: int, block: float, seed: int) -> Iterator[Places]:
    """Yield the places of days, a row for each resample, several resamples at once.

    A new block begins with the probability 1/block on each day, at any day with equal probability.

    >>> next(resampled_days(10, 1, 4.0, seed=3)).tolist()
    [[4, 3, 4, 5, 4, 5, 6, 5, 6, 7]]
    """
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // days)
    along = np.arange(days)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        begins = rng.random((rows, days)) < 1 / block
        first = rng.integers(0, days, (rows, days))
        last_begin = np.maximum.accumulate(np.where(begins, along, 0), axis=1)
        yield (np.take_along_axis(first, last_begin, axis=1) + along - last_begin) % days


def interval(
    returns: FloatArray,
    objective: str,
    *,
    years: float,
    confidence: float = 0.95,
    block: float | None = None,
    resamples: int = 2_000,
    seed: int = 0,
) -> Interval:
    """Return the interval of an objective of one trial: the quantiles of its values in resampled days.

    It says how uncertain the value of this trial is with so few days. It does not say that the trial was chosen because
    its value was high.

    Args:
        returns: Daily returns, above the risk-free rate for `sharpe` and `sortino`.
        objective: One of `RESAMPLED`.
        years: The duration, for `cagr` and `calmar`.
        confidence: How much of the resamples' values the interval contains.
        block: The mean length of blocks, in days (default: `block_length`).
        resamples: The number of resamples.
        seed: The same seed gives the same interval.
    """
    block = block_length(len(returns)) if block is None else block
    drawn = resampled_days(len(returns), resamples, block, seed)
    values = np.concatenate([resampled_values(objective, returns[places], years) for places in drawn])
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence, block, resamples)


def range_of_luck(
    returns: FloatArray, sharpe: float, *, block: float | None = None, resamples: int = 2_000, seed: int = 0
) -> LuckRange:
    """Simulate sweeps in which no trial has an edge, and return their best Sharpe ratios.

    The mean of each trial's returns is deducted from them, so that nothing but luck is left. Then days are resampled
    for all trials together. So the simulated trials resemble each other as much as the real ones do, and it does not
    matter how many of them are nearly the same. This is White's "reality check", with the Sharpe ratio.

    Args:
        returns: Daily returns (days by trials) above the risk-free rate.
        sharpe: The Sharpe ratio (of a year) of the trial in question.
        block: The mean length of blocks, in days (default: `block_length`).
        resamples: The number of simulated sweeps.
        seed: The same seed gives the same result.
    """
    days = len(returns)
    block = block_length(days) if block is None else block
    measure = MEASURES["sharpe"]
    parts = measure.parts(returns - returns.mean(axis=0))
    best, spread = [], []
    at_once = max(1, _AT_ONCE // returns.shape[1])
    for places in resampled_days(days, resamples, block, seed):
        for start in range(0, len(places), at_once):
            counts = _counts(places[start : start + at_once])
            sharpes = measure.value([counts @ part for part in parts], days)
            best.append(sharpes.max(axis=1))
            spread.append(sharpes.std(axis=1, ddof=min(1, sharpes.shape[1] - 1)))
    found = np.concatenate(best)
    often = (1 + int((found >= sharpe).sum())) / (1 + resamples)
    return LuckRange(found, np.concatenate(spread), often, block)


def _counts(places: Places) -> FloatArray:
    """Return how often each resample has each day."""
    rows, days = places.shape
    flat = (places + days * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * days).reshape(rows, days).astype(float)
