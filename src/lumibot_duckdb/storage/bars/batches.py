"""Batches of series that are changed in one transaction: for a small series, the transaction takes the longest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

MOST_SERIES = 250
MOST_BARS = 100_000
"""So many series or bars are changed in a second or so; other processes wait meanwhile."""

Each = TypeVar("Each")


def in_batches(series: Iterable[Each], bars: Callable[[Each], int]) -> Iterator[list[Each]]:
    """Yield the series in batches, as `bars` counts them. A series with more bars is a separate batch."""
    batch: list[Each] = []
    total = 0
    for each in series:
        size = bars(each)
        if batch and (len(batch) >= MOST_SERIES or total + size > MOST_BARS):
            yield batch
            batch, total = [], 0
        batch.append(each)
        total += size
    if batch:
        yield batch
