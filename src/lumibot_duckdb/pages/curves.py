"""Curves with fewer points, which look the same."""

from __future__ import annotations

from typing import TypeAlias

Curve: TypeAlias = "tuple[list[str], list[float]]"
"""Times and values."""


def thinned(curve: Curve, points: int) -> Curve:
    """Return a curve with about as many points: the lowest and the highest of each stretch, the first and the last."""
    times, values = curve
    if len(values) <= points:
        return curve
    length = -(-2 * len(values) // points)
    kept = {0, len(values) - 1}
    for start in range(0, len(values), length):
        stretch = range(start, min(start + length, len(values)))
        kept |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
    places = sorted(kept)
    return [times[place] for place in places], [values[place] for place in places]
