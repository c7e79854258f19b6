"""Groups differences by their cause: one wrong bar may be in hundreds of frames, and change all trades after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lumibot_duckdb.comparison.differences.difference import DTYPES, Difference

_DATA = ("frame", "dtypes", "answer", "input")
"""Kinds of differences in what a strategy received."""


@dataclass(frozen=True)
class Cause:
    """Differences with the same cause: those that show it, and those that follow from it, in chronological order.

    `shown_in` are differences in the same aspect of what a strategy received of one asset, or the first difference in
    what it did. It is never empty. `effects` are differences in what the strategy did afterwards and what became of it.
    """

    shown_in: list[Difference]
    effects: list[Difference] = field(default_factory=list)

    @property
    def first(self) -> Difference:
        """The first difference."""
        return self.shown_in[0]

    @property
    def differences(self) -> list[Difference]:
        """All differences, those that show the cause first."""
        return [*self.shown_in, *self.effects]


def causes_of(differences: Iterable[Difference]) -> list[Cause]:
    """Group differences in chronological order, in the order of their causes.

    What a strategy received is grouped by backtest, asset and aspect. Everything else in a backtest follows from the
    first cause before it; a cause in dtypes alone comes last, because it rarely has effects.
    """
    causes: list[Cause] = []
    received: dict[tuple[str, str, str], Cause] = {}
    for each in differences:
        key = (each.backtest, each.subject, each.aspect)
        earlier = [cause for cause in causes if cause.first.backtest == each.backtest]
        if each.kind in _DATA:
            if key in received:
                received[key].shown_in.append(each)
                continue
            received[key] = cause = Cause([each])
            causes.append(cause)
        elif earlier and each.kind != "backtests":
            min(earlier, key=lambda cause: cause.first.aspect == DTYPES).effects.append(each)
        else:
            causes.append(Cause([each]))
    return causes


def counts_of(differences: Iterable[Difference]) -> dict[str, int]:
    """Return how many differences there are of each kind, in the order in which they occur."""
    return dict(Counter(each.kind for each in differences))
