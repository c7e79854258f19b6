"""The errors of charts."""

from __future__ import annotations


class ChartError(ValueError):
    """There is nothing to draw, or what should be drawn is unusable."""
