"""Repeated measurements and the rows of the results table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one quantity, in the unit of its row."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float], scale: float = 1.0) -> Sample:
        return cls(tuple(value * scale for value in values))

    @property
    def median(self) -> float:
        return median(self.values)

    def text(self) -> str:
        """Return the median, with the lowest and highest value unless all are equal."""
        middle = number(self.median)
        low, high = number(min(self.values)), number(max(self.values))
        return middle if low == high else f"{middle} ({low} to {high})"


@dataclass(frozen=True)
class Row:
    """One row of the results.

    `theirs` is None if there is nothing to compare with. `higher_is_better` is for rates. `budget` and `met` are shown
    on the terminal only; `met` is None for a row without a budget. `note` is a sentence below the table.
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

    @property
    def ratio(self) -> float | None:
        """How many times better our side is; above 1 is better."""
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
    higher_is_better: bool = False,
) -> Row:
    """Return a row that compares two sides. It meets its budget if the ratio is at least `at_least`."""
    row = Row(what, unit, opponent, ours, theirs, higher_is_better, budget, None, note)
    return row if at_least is None or row.ratio is None else replace(row, met=row.ratio >= at_least)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = perf_counter()
    action()
    return perf_counter() - started


def number(value: float) -> str:
    """Format a number with three significant digits and no exponent."""
    if value == 0:
        return "0"
    for limit, decimals in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= limit:
            return f"{value:,.{decimals}f}"
    return f"{value:.3g}"
