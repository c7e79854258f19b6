"""The formulas as plain loops over lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist, fmean, stdev

PERIODS = 365


def sharpe(returns: Sequence[float]) -> float:
    """The Sharpe ratio of a day; 0 if nothing varies."""
    spread = stdev(returns)
    return fmean(returns) / spread if spread > 1e-9 else 0.0


def probabilistic(returns: Sequence[float], benchmark: float) -> float:
    mean, count = fmean(returns), len(returns)
    deviation = math.sqrt(sum((each - mean) ** 2 for each in returns) / count)
    skewness = sum(((each - mean) / deviation) ** 3 for each in returns) / count
    kurtosis = sum(((each - mean) / deviation) ** 4 for each in returns) / count
    ratio = sharpe(returns)
    below = math.sqrt(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2)
    return NormalDist().cdf((ratio - benchmark) * math.sqrt(count - 1) / below)


def expected_maximum(trials: int, variance: float) -> float:
    gamma, inverse = 0.5772156649015329, NormalDist().inv_cdf
    of_mean, of_tail = inverse(1 - 1 / trials), inverse(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - gamma) * of_mean + gamma * of_tail)


def splits(trials: Sequence[Sequence[float]], blocks: int, sign: int = 1) -> list[tuple[float, float, float, float]]:
    """For each split: the best trial's Sharpe ratio in sample and out of sample, its rank, and what it earned there."""
    days = len(trials[0])
    length = days // blocks
    first = days - blocks * length
    parts = [range(first + number * length, first + (number + 1) * length) for number in range(blocks)]
    found = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = [day for number in chosen for day in parts[number]]
        outside = [day for number in range(blocks) if number not in chosen for day in parts[number]]
        theirs = [sign * sharpe([trial[day] for day in inside]) for trial in trials]
        others = [sign * sharpe([trial[day] for day in outside]) for trial in trials]
        best = theirs.index(max(theirs))
        worse = sum(each < others[best] for each in others)
        equal = sum(each == others[best] for each in others)
        rank = (worse + (equal + 1) / 2) / (len(trials) + 1)
        yearly = sign * math.sqrt(PERIODS)
        found.append((yearly * theirs[best], yearly * others[best], rank, sum(trials[best][day] for day in outside)))
    return found
