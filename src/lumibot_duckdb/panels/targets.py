"""What a model learns to predict: forward returns, and labels of the triple-barrier method.

A target looks at later bars. So each value has the place of the bar that decides it: it is known when that bar ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.engine import Outputs
from lumibot_duckdb.analytics.parameters import LONGEST, number_text
from lumibot_duckdb.analytics.requests import Request, parsed_request
from lumibot_duckdb.analytics.returns import price_return
from lumibot_duckdb.panels.errors import PanelError
from lumibot_duckdb.storage.times import Int64Array

UNKNOWN = -1
"""The place of the deciding bar of a value that is missing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The values of a target, NaN where they are missing, and the places of the bars that decide them."""

    values: FloatArray
    decided_by: Int64Array


class Target(ABC):
    """A target of a panel: `ForwardReturn` or `TripleBarrier`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the column."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of bars that are needed besides the close."""
        return ()

    @property
    def indicators(self) -> tuple[Request, ...]:
        """The indicators that are needed."""
        return ()

    @abstractmethod
    def outcome(self, bars: Bars, outputs: Outputs) -> Outcome:
        """Return the target of each bar. `outputs` has the arrays of the indicators."""


@dataclass(frozen=True)
class ForwardReturn(Target):
    """The return from the close of a bar to that of a later one.

    Args:
        bars: How many bars later, counted in the asset's own bars.
        log: Whether the return is logarithmic, `ln(later / close)`, and not `later / close - 1`.

    The last `bars` rows have no value, and neither has a row whose close is not positive; a logarithmic return needs a
    later close that is positive, too. The value is known when the later bar ends.

    Raises:
        PanelError: `bars` is not a whole number from 1 to 100,000.

    Example:
        >>> ForwardReturn(5).name, ForwardReturn(5, log=True).name
        ('forward_return_5', 'forward_log_return_5')
    """

    bars: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_length(self, "bars", self.bars, 1)

    @property
    def name(self) -> str:
        """The name of the column, such as `forward_return_5`."""
        return f"forward_{'log_' * self.log}return_{self.bars}"

    def outcome(self, bars: Bars, outputs: Outputs) -> Outcome:
        """Return the forward returns of bars."""
        values = np.full(len(bars), np.nan)
        later = max(0, len(bars) - self.bars)
        values[:later] = price_return(bars.close, self.bars, log=self.log)[self.bars :]
        decided_by = np.where(np.isnan(values), UNKNOWN, np.arange(len(bars)) + self.bars)
        return Outcome(values, decided_by)


@dataclass(frozen=True)
class TripleBarrier(Target):
    """Which of three barriers the price touches first, counted from the close of a bar.

    The label is 1 if the price rises to `close * (1 + up)` first, -1 if it falls to `close * (1 - down)` first, and 0
    if it touches neither within `bars` bars, the vertical barrier. It is known when the bar that touches a barrier
    ends, or the last of the `bars` bars. The method is by M. López de Prado, Advances in Financial Machine Learning
    (2018), section 3.4; his labels at the vertical barrier are the signs of returns, or 0, as here (exercise 3.3).

    Args:
        up: The distance of the upper barrier as a fraction of the close, such as 0.02; None for no upper barrier.
        down: The distance of the lower barrier, likewise. Without a volatility it must be less than 1.
        bars: After how many bars the vertical barrier is, counted in the asset's own bars.
        volatility: If given, `up` and `down` are multiples of the volatility: the deviation of the last so many
            logarithmic returns from bar to bar, as the indicator `volatility` has it. It uses no later bar.
        touch: "range" tests the highs and lows of the later bars, "close" their closes only.
        both: The barrier that counts if a bar's range touches both, since nobody knows which was first. "down" is the
            pessimistic choice for buying, "up" for selling short.

    A row has no label if there are fewer than `bars` later bars and none of them touches a barrier, if the close is not
    positive, and if the volatility is missing or 0. A later bar without high or low counts with its close. If the price
    stays the same, the label is 0.

    Raises:
        PanelError: A parameter is not usable.

    Example:
        >>> TripleBarrier(0.02, 0.01, bars=20).name
        'triple_barrier_0.02_0.01_20'
        >>> TripleBarrier(2, None, bars=20, volatility=50, touch="close").name
        'triple_barrier_2_none_20_volatility_50_close'
    """

    up: float | None
    down: float | None
    bars: int
    volatility: int | None = None
    touch: Literal["range", "close"] = "range"
    both: Literal["down", "up"] = "down"

    def __post_init__(self) -> None:
        _check_length(self, "bars", self.bars, 1)
        if self.volatility is not None:
            _check_length(self, "volatility", self.volatility, 2)
        if self.up is None and self.down is None:
            raise PanelError("TripleBarrier: up and down are both None, so that every label would be 0")
        _check_distance("up", self.up, np.inf)
        _check_distance("down", self.down, 1.0 if self.volatility is None else np.inf)
        _check_choice("touch", self.touch, ("range", "close"))
        _check_choice("both", self.both, ("down", "up"))

    @property
    def name(self) -> str:
        """The name of the column: the parameters, and what differs from the defaults."""
        distances = ["none" if each is None else number_text(each) for each in (self.up, self.down)]
        parts = ["triple_barrier", *distances, str(self.bars)]
        if self.volatility is not None:
            parts.append(f"volatility_{self.volatility}")
        if self.touch == "close":
            parts.append("close")
        if self.both == "up":
            parts.append("both_up")
        return "_".join(parts)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of bars that are needed besides the close."""
        return ("high", "low") if self.touch == "range" else ()

    @property
    def indicators(self) -> tuple[Request, ...]:
        """The volatility, if the barriers depend on it."""
        return () if self.volatility is None else (parsed_request(f"volatility({self.volatility})"),)

    def outcome(self, bars: Bars, outputs: Outputs) -> Outcome:
        """Return the labels of bars."""
        close = bars.close
        unit = np.ones(len(bars))
        for request in self.indicators:
            (unit,) = outputs[request]
        usable = (close > 0) & (unit > 0)  # not where the volatility is NaN
        upper = np.full(len(bars), np.inf) if self.up is None else close * (1 + self.up * unit)
        lower = np.full(len(bars), -np.inf) if self.down is None else close * (1 - self.down * unit)
        high, low = (bars.high, bars.low) if self.touch == "range" else (close, close)
        return self._first_touches(np.flatnonzero(usable), high, low, upper, lower)

    def _first_touches(
        self, waiting: Int64Array, high: FloatArray, low: FloatArray, upper: FloatArray, lower: FloatArray
    ) -> Outcome:
        """Return the labels of some rows, which wait for a touch: all of them move on by one bar at a time."""
        labels = np.full(len(high), np.nan)
        decided_by = np.full(len(high), UNKNOWN)
        for ahead in range(1, self.bars + 1):
            waiting = waiting[: waiting.searchsorted(len(high) - ahead)]  # the others have no such bar
            if not len(waiting):
                break
            at = waiting + ahead
            is_up, is_down = high[at] >= upper[waiting], low[at] <= lower[waiting]
            falls = is_down if self.both == "down" else is_down & ~is_up
            touched = is_up | is_down
            rows = waiting[touched]
            labels[rows] = np.where(falls[touched], -1.0, 1.0)
            decided_by[rows] = at[touched]
            waiting = waiting[~touched]
        labels[waiting] = 0.0
        decided_by[waiting] = waiting + self.bars
        return Outcome(labels, decided_by)


def checked_targets(targets: Target | Iterable[Target]) -> tuple[Target, ...]:
    """Return the targets that a caller means, each once. Raises `PanelError` for anything else."""
    wanted: list[Any] = [targets] if isinstance(targets, (Target, str)) else list(targets)
    for each in wanted:
        if not isinstance(each, Target):
            raise PanelError(
                f"{each!r} is not a target: pass objects such as ForwardReturn(5) or "
                "TripleBarrier(up=0.02, down=0.02, bars=20) of lumibot_duckdb.panels"
            )
    return tuple(dict.fromkeys(wanted))


def _check_length(target: Target, name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= LONGEST:
        raise PanelError(
            f"{type(target).__name__}: {name} must be a whole number from {least} to {LONGEST}, not {value!r}"
        )


def _check_distance(name: str, value: Any, limit: float) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or not 0 < value < limit:
        below = f" and below {number_text(limit)}" if isfinite(limit) else ""
        raise PanelError(f"TripleBarrier: {name} must be a number above 0{below}, or None, not {value!r}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise PanelError(f"TripleBarrier: {name} must be one of {', '.join(choices)}, not {value!r}")
