"""The probabilistic and the deflated Sharpe ratio: how likely it is that a Sharpe ratio is not luck.

Sharpe ratios are those of a day here; multiply by the square root of 365 for a year.

References:
    Bailey, D. H., and M. López de Prado: "The Sharpe Ratio Efficient Frontier". Journal of Risk 15 (2), 2012.
    Bailey, D. H., and M. López de Prado: "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest
    Overfitting and Non-Normality". Journal of Portfolio Management 40 (5), 2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lumibot_duckdb.sweeps.overfitting.returns import FloatArray, NotEnoughError

_EULER_MASCHERONI = float(np.euler_gamma)


@dataclass(frozen=True)
class Moments:
    """What the formulas need of a series of returns.

    Attributes:
        sharpe: The mean of the returns divided by their standard deviation (of a sample).
        skewness: The third standardised moment; 0 for a normal distribution.
        kurtosis: The fourth standardised moment, not the excess: 3 for a normal distribution.
        days: The number of returns.
    """

    sharpe: float
    skewness: float
    kurtosis: float
    days: int


def moments(returns: FloatArray) -> Moments:
    """Return the moments of daily returns above the risk-free rate, which must not be all equal.

    Example:
        >>> import numpy as np
        >>> found = moments(np.array([0.01, -0.01, 0.02, 0.0]))
        >>> round(found.sharpe, 4), round(found.skewness, 4), round(found.kurtosis, 4)
        (0.3873, 0.0, 1.64)
    """
    centred = returns - returns.mean()
    variance = float(np.mean(centred**2))
    deviation = math.sqrt(variance * len(returns) / (len(returns) - 1))
    return Moments(
        sharpe=float(returns.mean()) / deviation,
        skewness=float(np.mean(centred**3)) / variance**1.5,
        kurtosis=float(np.mean(centred**4)) / variance**2,
        days=len(returns),
    )


def probabilistic_sharpe_ratio(found: Moments, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark.

    With the estimated Sharpe ratio SR, T days, skewness g3 and kurtosis g4, it is (Bailey and López de Prado 2012)::

        PSR(SR*) = Φ( (SR - SR*) √(T - 1) / √(1 - g3 SR + (g4 - 1)/4 SR²) )

    Args:
        found: The estimate. It must have more than one day.
        benchmark: SR*, for one day as `found.sharpe` is.

    Raises:
        NotEnoughError: The returns are so extreme that the estimate has no standard error.

    Example:
        The hedge fund of that paper, with two years of monthly returns: assuming a normal distribution, and not.

        >>> round(probabilistic_sharpe_ratio(Moments(0.458, 0, 3, 24)), 3)
        0.982
        >>> round(probabilistic_sharpe_ratio(Moments(0.458, -2.448, 10.164, 24)), 3)
        0.913
    """
    from scipy.special import ndtr

    spread = 1 - found.skewness * found.sharpe + (found.kurtosis - 1) / 4 * found.sharpe**2
    if not (found.days > 1 and spread > 0 and math.isfinite(spread)):
        raise NotEnoughError("the daily returns are too extreme for an error of the Sharpe ratio")
    return float(ndtr((found.sharpe - benchmark) * math.sqrt(found.days - 1) / math.sqrt(spread)))


def expected_maximum_sharpe(trials: float, variance: float) -> float:
    """Return the Sharpe ratio that the best of several trials without any edge is expected to show.

    With N trials whose Sharpe ratios have the variance V, it is approximately (Bailey and López de Prado 2014; g is the
    Euler-Mascheroni constant)::

        SR0 = √V ( (1 - g) Φ⁻¹(1 - 1/N) + g Φ⁻¹(1 - 1/(N e)) )

    A single trial is not chosen, so 0 is expected of it.

    Example:
        The best of ten independent trials, whose Sharpe ratios have a variance of one.

        >>> round(expected_maximum_sharpe(10, 1.0), 2)
        1.57
    """
    from scipy.special import ndtri

    if trials <= 1:
        return 0.0
    of_mean, of_tail = ndtri(1 - 1 / trials), ndtri(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * float((1 - _EULER_MASCHERONI) * of_mean + _EULER_MASCHERONI * of_tail)


def deflated_sharpe_ratio(found: Moments, trials: float, variance: float) -> float:
    """Return the probability that the true Sharpe ratio of the best trial is above what luck is expected to show.

    It is the probabilistic Sharpe ratio with the expected maximum as its benchmark. Usually 0.95 is required.

    Args:
        found: The moments of the best trial.
        trials: How many trials it was chosen from.
        variance: The variance of the trials' Sharpe ratios (of a day).

    Raises:
        NotEnoughError: The returns are so extreme that the estimate has no standard error.

    Example:
        The strategy of the paper: a Sharpe ratio of 2.5 a year of 250 days in five years, the best of 100 trials whose
        yearly Sharpe ratios have a variance of 1/2. The same would convince as the best of 46.

        >>> best = Moments(2.5 / 250**0.5, skewness=-3, kurtosis=10, days=1250)
        >>> round(deflated_sharpe_ratio(best, 100, 0.5 / 250), 4)
        0.9004
        >>> round(deflated_sharpe_ratio(best, 46, 0.5 / 250), 4)
        0.9505
    """
    return probabilistic_sharpe_ratio(found, expected_maximum_sharpe(trials, variance))
