"""Spans of calendar days. Downloads are split into such spans, and errors name them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True, order=True)
class DaySpan:
    """The calendar days from `first` to `last`, both included.

    Raises:
        ValueError: `last` is before `first`.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"a span of days must not end ({self.last}) before it begins ({self.first})")

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


def chunks(days: DaySpan, length: int = 30) -> list[DaySpan]:
    """Split a span into consecutive spans of at most `length` days.

    Raises:
        ValueError: `length` is less than one day.
    """
    if length < 1:
        raise ValueError(f"a chunk has one day or more, not {length}")
    result: list[DaySpan] = []
    first = days.first
    while first <= days.last:
        last = min(days.last, first + timedelta(days=length - 1))
        result.append(DaySpan(first, last))
        first = last + _DAY
    return result


def joined(spans: Iterable[DaySpan]) -> list[DaySpan]:
    """Return the same days as sorted spans, with adjacent and overlapping spans merged."""
    result: list[DaySpan] = []
    for span in sorted(spans):
        if result and span.first <= result[-1].last + _DAY:
            result[-1] = DaySpan(result[-1].first, max(result[-1].last, span.last))
        else:
            result.append(span)
    return result
