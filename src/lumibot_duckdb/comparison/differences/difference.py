"""A difference between two runs, with its values as texts for the reader."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

MISSING = "nothing"
VALUES, BARS, COLUMNS, DTYPES, HOLDER = "values", "bars", "columns", "dtypes", "holder"
"""Aspects of an answer: values, which bars a frame has, its columns, its dtypes, and the object that holds it."""
LISTED = 25
"""Differences of each kind that are listed; the others are only counted."""
# At the same time of a backtest, causes come before their effects.
_KINDS = (
    "backtests",
    "frame",
    "dtypes",
    "answer",
    "request",
    "input",
    "trade",
    "order",
    "portfolio",
    "chart",
    "message",
    "analysis",
    "failure",
)
_AROUND = 60
"""Characters of a long text that are shown before the first difference."""
_TYPED_NUMBER = re.compile(r"\bnp\.\w+\(([^()]*)\)")
_LAST = datetime.max.replace(tzinfo=timezone.utc)
_TRADE_COLUMNS = ("strategy", "symbol", "side", "type", "filled_quantity")
"""Columns of trade events that the script decides; the times and prices of fills depend on bars."""
_ORDER_ACTIONS = ("submitted", "modified")
"""Rows of the log of orders that the script causes."""


@dataclass(frozen=True)
class Difference:
    """One difference between two runs.

    `when` is the time of the backtest, `subject` the asset or symbol, `place` the call, bar and column, and `left` and
    `right` are the values of the two runs. `aspect` is what differs of an answer.
    """

    kind: str
    backtest: str
    when: str
    subject: str
    place: str
    left: str
    right: str
    aspect: str = VALUES

    @property
    def is_caused_by_script(self) -> bool:
        """Whether only the script can have caused this, if both runs were identical until then."""
        words = re.split(r"[ ,:]+", self.place)
        if self.kind == "trade":
            return words[-1] in _TRADE_COLUMNS
        if self.kind == "order":
            return any(action in words for action in _ORDER_ACTIONS)
        return self.kind in ("backtests", "request")


def in_order(differences: Iterable[Difference]) -> list[Difference]:
    """Return differences in chronological order, and those at the same time by kind."""
    return sorted(differences, key=_order)


def _order(difference: Difference) -> tuple[datetime, int]:
    try:
        when = datetime.fromisoformat(difference.when)
    except ValueError:
        return _LAST, _KINDS.index(difference.kind)
    when = when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)
    return when, _KINDS.index(difference.kind)


def plain_numbers(left: str, right: str) -> tuple[str, str]:
    """Return two texts without the types of NumPy's numbers, unless they would be equal then."""
    plain = _TYPED_NUMBER.sub(r"\1", left), _TYPED_NUMBER.sub(r"\1", right)
    return (left, right) if plain[0] == plain[1] else plain


def truncated(left: str, right: str) -> tuple[str, str]:
    """Cut two long texts to the part around their first difference."""
    if max(len(left), len(right)) <= 5 * _AROUND:
        return left, right
    shorter = min(len(left), len(right))
    same = next((n for n in range(shorter) if left[n] != right[n]), shorter)
    start = max(same - _AROUND, 0)
    before = "…" if start else ""
    return tuple(f"{before}{text[start : same + 2 * _AROUND]}…" for text in (left, right))  # type: ignore[return-value]
