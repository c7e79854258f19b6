"""What a sweep optimises: a trading statistic and its direction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lumibot_duckdb.sweeps.search.errors import SearchError, did_you_mean

Direction = Literal["maximize", "minimize"]

_CALMAR = "calmar"
_MINIMIZED = frozenset({"volatility", "fees"})
"""The statistics whose low values are good."""


def objective_names() -> dict[str, str]:
    """Return the names of the objectives, with their titles: those of the trading statistics, and `calmar`."""
    from lumibot_duckdb.comparison.trading_statistics import STYLES

    return {name: title for name, (title, _) in STYLES.items()} | {_CALMAR: "Calmar ratio"}


@dataclass(frozen=True)
class Objective:
    """A statistic that a sweep maximises or minimises.

    Attributes:
        name: The name of the statistic, or `calmar`: CAGR divided by the size of the maximum drawdown.
        minimize: Whether the lowest value is the best.

    >>> sharpe = Objective.of("sharpe")
    >>> sharpe.best([(1, 0.5), (2, None), (3, 1.2), (4, 1.2)])
    3
    >>> Objective.of("sharp")
    Traceback (most recent call last):
    lumibot_duckdb.sweeps.search.errors.SearchError: unknown objective sharp; did you mean sharpe?
    """

    name: str
    minimize: bool = False

    @classmethod
    def of(cls, name: str, direction: Direction | None = None) -> Objective:
        """Return the objective of a name, such as `sharpe` or `max-drawdown`.

        Args:
            name: Its name; case does not matter, and - is the same as _.
            direction: By default, volatility and fees are minimised, and all others are maximised.

        Raises:
            SearchError: The name is unknown, or the maximum drawdown is to be minimised: it is below zero, so that the
                lowest value is the greatest loss.
        """
        known = name.strip().casefold().replace("-", "_")
        if known not in objective_names():
            raise SearchError(f"unknown objective {name}{did_you_mean(known, objective_names())}")
        minimize = known in _MINIMIZED if direction is None else direction == "minimize"
        if known == "max_drawdown" and minimize:
            raise SearchError(
                "max_drawdown is below zero (-0.2 is a loss of 20 %), so the lowest value is the worst; "
                "maximize it, which finds the smallest drawdown"
            )
        return cls(known, minimize)

    @property
    def direction(self) -> Direction:
        """The direction in a word."""
        return "minimize" if self.minimize else "maximize"

    def value(self, statistics: Mapping[str, float | None]) -> float | None:
        """Return the objective of a backtest with such statistics; None if it has none.

        There is no Calmar ratio without a drawdown.
        """
        found = _calmar(statistics) if self.name == _CALMAR else statistics.get(self.name)
        return found if found is not None and math.isfinite(found) else None

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value is better than another."""
        return value < other if self.minimize else value > other

    def best(self, trials: Iterable[tuple[int, float | None]]) -> int | None:
        """Return the number of the best trial; of equals, the one with the lowest number.

        Args:
            trials: The number and the objective of each trial, in any order. Trials without a finite value are left
                out.

        Returns:
            None if no trial has a value.
        """
        return next(iter(self.ranked(trials)), None)

    def ranked(self, trials: Iterable[tuple[int, float | None]]) -> list[int]:
        """Return the numbers of the trials of `best` that have a value, the best first."""
        sign = 1.0 if self.minimize else -1.0
        found = [(sign * value, number) for number, value in trials if value is not None and math.isfinite(value)]
        return [number for _, number in sorted(found)]


def _calmar(statistics: Mapping[str, float | None]) -> float | None:
    """Return the Calmar ratio, as quantstats defines it."""
    growth, drawdown = statistics.get("cagr"), statistics.get("max_drawdown")
    return growth / abs(drawdown) if growth is not None and drawdown else None
