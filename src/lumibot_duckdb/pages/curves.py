"""Curves with fewer points, which look the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Curve: TypeAlias = "tuple[list[str], list[float]]"
"""Times and values."""


def thinned(curve: Curve, points: int) -> Curve:
    """Return a curve with about as many points."""
    times, values = curve
    places = kept_places(values, points)
    return [times[place] for place in places], [values[place] for place in places]


def kept_places(values: Sequence[float], points: int) -> Sequence[int]:
    """Return the places of about as many values: the lowest and highest of each stretch, the first and the last."""
    if len(values) <= points:
        return range(len(values))
    length = -(-2 * len(values) // points)
    kept = {0, len(values) - 1}
    for start in range(0, len(values), length):
        stretch = range(start, min(start + length, len(values)))
        kept |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
    return sorted(kept)
