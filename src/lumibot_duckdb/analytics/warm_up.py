"""How many earlier bars a value depends on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import comb, inf, log

_FORGOTTEN = 1e-13
"""The weight up to which a bar counts: 1e-9 of a value, for prices that were ten thousand times as high."""


class Reach(Enum):
    """How far back a value reaches."""

    BARS = "bars"  # so many bars
    RECURSIVE = "recursive"  # all bars, but what was before so many bars changes it by less than 1e-9
    DAY = "day"  # to the beginning of the local day
    PREVIOUS_DAY = "previous day"  # to the beginning of the last local day before
    ALL = "all"  # all bars


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What a value depends on besides its own bar.

    Attributes:
        reach: How far back it reaches.
        bars: The number of earlier bars where `reach` counts them, else infinite.
        block: The first bar of a computation has to be a multiple of so many bars after that of another one, for both
            to give the same bits: sums are over blocks of bars.
    """

    reach: Reach
    bars: float = inf
    block: int = 1

    def __str__(self) -> str:
        if self.reach is Reach.BARS:
            return f"{self.bars:,.0f} bars"
        if self.reach is Reach.RECURSIVE:
            return f"{self.bars:,.0f} bars, to 1e-9"
        return {Reach.DAY: "the local day", Reach.PREVIOUS_DAY: "the previous local day"}.get(self.reach, "all bars")


DAY, PREVIOUS_DAY, ALL = WarmUp(Reach.DAY), WarmUp(Reach.PREVIOUS_DAY), WarmUp(Reach.ALL)


def window(bars: int, *, block: int = 1) -> WarmUp:
    """Return the warm-up of what depends on a number of earlier bars, computed in blocks."""
    return WarmUp(Reach.BARS, bars, block)


def smoothed(keep: float, first: int, *, times: int = 1, block: int = 1) -> WarmUp:
    """Return the warm-up of recursive smoothing: y[i] = keep * y[i - 1] + (1 - keep) * x[i].

    Args:
        keep: What is kept of the last value.
        first: How many earlier bars the first value needs.
        times: How many times the result is smoothed again.
        block: The length of the blocks in which the result is summed.
    """
    if keep <= 0:
        return window(first, block=block)
    # After t bars, what came before has the weight keep**t, times a polynomial if smoothing is repeated.
    needed = 0.0
    for _ in range(8):
        ways = comb(int(needed) + times - 1, times - 1)
        needed = (log(ways) - log(_FORGOTTEN)) / -log(keep)
    return WarmUp(Reach.RECURSIVE, first + int(needed) + 1, block)


def kept_by_ema(n: int) -> float:
    """Return what an exponential average of n bars keeps of its last value."""
    return 1 - 2 / (n + 1)


def kept_by_wilder(n: int) -> float:
    """Return what Wilder's average of n bars keeps of its last value."""
    return 1 - 1 / n
