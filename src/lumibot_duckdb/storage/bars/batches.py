"""Batches of series: a small one is not worth a separate transaction or query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

MOST_SERIES = 250
MOST_BARS = 100_000
"""So many series or bars are changed in a second or so, in one transaction; other processes wait meanwhile."""

Each = TypeVar("Each")


def in_batches(
    series: Iterable[Each],
    bars: Callable[[Each], int],
    *,
    most_series: float = MOST_SERIES,
    most_bars: int = MOST_BARS,
) -> Iterator[list[Each]]:
    """Yield the series in batches, as `bars` counts them. A series with more bars is a separate batch.

    The limits are those of a change; reads have their own.
    """
    batch: list[Each] = []
    total = 0
    for each in series:
        size = bars(each)
        if batch and (len(batch) >= most_series or total + size > most_bars):
            yield batch
            batch, total = [], 0
        batch.append(each)
        total += size
    if batch:
        yield batch
