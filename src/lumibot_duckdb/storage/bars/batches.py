"""Batches of series: a small one is not worth a separate transaction or query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

MOST_SERIES = 250
MOST_BARS = 100_000
"""So many series or bars are changed in a second or so, in one transaction; other processes wait meanwhile."""

Each = TypeVar("Each")


def in_batches(series: Iterable[Each], bars: Callable[[Each], int]) -> Iterator[list[Each]]:
    """Yield the series of a change in batches, as `bars` counts them. A series with more bars is a separate batch."""
    return limited_batches(series, bars, MOST_SERIES, MOST_BARS)


def limited_batches(
    series: Iterable[Each], size_of: Callable[[Each], int], most_series: float, most: int
) -> Iterator[list[Each]]:
    """Yield the series in batches of so many at most, whose sizes add up to `most` unless there is only one."""
    batch: list[Each] = []
    total = 0
    for each in series:
        size = size_of(each)
        if batch and (len(batch) >= most_series or total + size > most):
            yield batch
            batch, total = [], 0
        batch.append(each)
        total += size
    if batch:
        yield batch
