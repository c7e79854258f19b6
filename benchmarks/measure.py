"""What a measurement is: several repeats, their median and their spread, and a row of the results table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter


@dataclass(frozen=True)
class Sample:
    """Several repeats of one quantity, in the unit of its row."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float], scale: float = 1.0) -> Sample:
        return cls(tuple(value * scale for value in values))

    @property
    def median(self) -> float:
        return median(self.values)

    def text(self) -> str:
        """Return the median, and the lowest and highest repeat where there are several that differ."""
        middle = number(self.median)
        low, high = number(min(self.values)), number(max(self.values))
        return middle if low == high else f"{middle} ({low} to {high})"


@dataclass(frozen=True)
class Row:
    """One line of the results.

    `theirs` is None where there is no opponent. `higher_is_better` is for rates. `met` is None where the row has no
    budget and is there to be known. `note` is said in any case, `why_short` when the budget is missed.
    """

    what: str
    unit: str
    opponent: str
    ours: Sample
    theirs: Sample | None = None
    higher_is_better: bool = False
    budget: str = ""
    met: bool | None = None
    note: str = ""
    why_short: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better ours is: above one is better."""
        if self.theirs is None:
            return None
        if self.higher_is_better:
            return self.ours.median / self.theirs.median
        return self.theirs.median / self.ours.median


def against(
    what: str,
    unit: str,
    opponent: str,
    ours: Sample,
    theirs: Sample,
    *,
    at_least: float | None = None,
    budget: str = "",
    note: str = "",
    why_short: str = "",
    higher_is_better: bool = False,
) -> Row:
    """Return a row whose budget is to be `at_least` times better than the opponent."""
    row = Row(what, unit, opponent, ours, theirs, higher_is_better, budget, None, note, why_short)
    return row if at_least is None or row.ratio is None else replace(row, met=row.ratio >= at_least)


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds one call takes."""
    started = perf_counter()
    action()
    return perf_counter() - started


def number(value: float) -> str:
    """Return three significant digits, without an exponent."""
    if value == 0:
        return "0"
    for limit, decimals in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= limit:
            return f"{value:,.{decimals}f}"
    return f"{value:.3g}"
