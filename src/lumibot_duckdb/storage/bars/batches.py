"""Batches of series that are changed in one transaction: for a small series, the transaction takes the longest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_MOST_SERIES = 50
_MOST_BARS = 100_000
"""So many series or bars are changed in a second or so; other processes wait meanwhile."""

Each = TypeVar("Each")


def in_batches(series: Sequence[Each], bars: Callable[[Each], int]) -> Iterator[Sequence[Each]]:
    """Yield the series in batches, as `bars` counts them. A series with more bars is a separate batch."""
    begin = total = 0
    for number, each in enumerate(series):
        size = bars(each)
        if number > begin and (number - begin >= _MOST_SERIES or total + size > _MOST_BARS):
            yield series[begin:number]
            begin, total = number, 0
        total += size
    if begin < len(series):
        yield series[begin:]
