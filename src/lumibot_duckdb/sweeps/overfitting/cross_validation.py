"""The probability of backtest overfitting, by combinatorially symmetric cross-validation (CSCV).

Reference:
    Bailey, D. H., J. M. Borwein, M. López de Prado, and Q. J. Zhu: "The Probability of Backtest Overfitting".
    Journal of Computational Finance 20 (4), 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lumibot_duckdb.sweeps.overfitting.measures import MEASURES
from lumibot_duckdb.sweeps.overfitting.returns import FloatArray, NotEnoughError

DAYS_PER_BLOCK = 10
"""The fewest days of a block."""
FEWEST_BLOCKS = 4
_AT_ONCE = 2_000_000
"""Values that are computed at once: splits times trials."""


@dataclass(frozen=True)
class CrossValidation:
    """How the trial that was best on one half of the days did on the other half, for each split.

    Attributes:
        measure: What the trials were ranked by, by its name in `STYLES`.
        blocks: The number of blocks (S) that the days were divided into.
        in_sample: The value of the best trial on the half in which it was chosen, one for each split.
        out_of_sample: Its value on the other half.
        rank: Its relative rank ω there among all N trials: from 1/(N+1), the worst, to N/(N+1), the best.
        loss: The part of the splits in which it lost money on the other half.
    """

    measure: str
    blocks: int
    in_sample: FloatArray
    out_of_sample: FloatArray
    rank: FloatArray
    loss: float

    @property
    def logits(self) -> FloatArray:
        """λ = ln(ω / (1 - ω)): positive where the chosen trial was above the median of all."""
        return np.asarray(np.log(self.rank / (1 - self.rank)))

    @property
    def probability(self) -> float:
        """The probability of backtest overfitting: the part of the splits with λ ≤ 0."""
        return float(np.mean(self.logits <= 1e-9))

    @property
    def degradation(self) -> tuple[float, float] | None:
        """Slope and intercept of the regression of the values out of sample on those in sample; None if none varies."""
        spread = float(np.var(self.in_sample))
        if spread < 1e-18:
            return None
        apart = self.in_sample - self.in_sample.mean()
        slope = float(np.mean(apart * self.out_of_sample) / spread)
        return slope, float(self.out_of_sample.mean() - slope * self.in_sample.mean())


def cross_validate(
    returns: FloatArray, *, measure: str = "sharpe", minimize: bool = False, blocks: int = 16
) -> CrossValidation:
    """Choose the best trial on half of the days and rank it on the others, in all ways to halve blocks of days.

    The days are divided into S consecutive blocks of equal length; the first days that are left over are not used.
    Each of the S!/(S/2)!² choices of S/2 blocks is in sample once, and out of sample once. Trials with equal values
    share their rank.

    Args:
        returns: Daily returns (days by trials) above the risk-free rate, without missing values; at least 40 days and
            two trials.
        measure: What trials are ranked by: a name in `MEASURES`.
        minimize: Whether low values are good.
        blocks: S, an even number from 4 to 20. It is reduced until each block has ten days.

    Raises:
        ValueError: The number of blocks is odd or out of range.
        NotEnoughError: There are too few days or trials.

    Example:
        Nineteen useless trials, and one that earns 0.2 % a day:

        >>> import numpy as np
        >>> returns = 0.01 * np.random.default_rng(1).standard_normal((1000, 20))
        >>> returns[:, 7] += 0.002
        >>> found = cross_validate(returns, blocks=8)
        >>> len(found.rank), round(found.probability, 2)
        (70, 0.0)
    """
    days, trials = returns.shape
    blocks = _usable_blocks(blocks, days, trials)
    length = days // blocks
    parts = MEASURES[measure].parts(returns[days - blocks * length :])
    sums = [part.reshape(blocks, length, trials).sum(axis=1) for part in (*parts, returns[days - blocks * length :])]
    half = blocks // 2 * length
    splits = _splits(blocks)
    sign = -1.0 if minimize else 1.0
    found = [
        _ranked(chosen, sums, measure, half, sign)
        for chosen in np.array_split(splits, -(-len(splits) * trials // _AT_ONCE))
    ]
    inside, outside, rank, earned = (np.concatenate(each) for each in zip(*found, strict=True))
    return CrossValidation(measure, blocks, inside, outside, rank, float(np.mean(earned < 0)))


def _usable_blocks(blocks: int, days: int, trials: int) -> int:
    if blocks % 2 or not FEWEST_BLOCKS <= blocks <= 20:
        raise ValueError(f"blocks is {blocks}: choose an even number from {FEWEST_BLOCKS} to 20")
    usable = min(blocks, days // DAYS_PER_BLOCK // 2 * 2)
    if usable < FEWEST_BLOCKS:
        raise NotEnoughError(f"{days} days are too few: at least {FEWEST_BLOCKS * DAYS_PER_BLOCK} are needed")
    if trials < 2:
        raise NotEnoughError("only one trial can be compared (equal returns count once), so none is chosen")
    return usable


def _splits(blocks: int) -> FloatArray:
    """Return a row for each split, with 1 for the blocks that are in sample and 0 for the others."""
    chosen = list(combinations(range(blocks), blocks // 2))
    found = np.zeros((len(chosen), blocks))
    np.put_along_axis(found, np.array(chosen), 1.0, axis=1)
    return found


def _ranked(
    splits: FloatArray, sums: list[FloatArray], measure: str, days: int, sign: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the best trial's value in sample and out of sample, its rank there, and the sum of its returns there."""
    value = MEASURES[measure].value
    inside, outside = (value([half @ each for each in sums[:-1]], days) for half in (splits, 1 - splits))
    best = (sign * inside).argmax(axis=1)
    rows = np.arange(len(splits))
    chosen = outside[rows, best]
    better_than = (sign * outside < sign * chosen[:, None]).sum(axis=1)
    equal = (outside == chosen[:, None]).sum(axis=1)
    rank = (better_than + (equal + 1) / 2) / (outside.shape[1] + 1)
    earned = ((1 - splits) * sums[-1][:, best].T).sum(axis=1)
    return inside[rows, best], chosen, rank, earned
