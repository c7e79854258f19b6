"""Plotly's code for a page: the smallest bundle of plotly.js that draws all kinds of plots on it.

The bundles are published by the plotly.js project; `requirements/plotly_bundles.py` renews them. The whole code, which
comes with the package plotly, takes 4.8 MB.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

BUNDLES: tuple[tuple[str, frozenset[str]], ...] = (
    ("plotly-finance.min.js", frozenset({"bar", "candlestick", "histogram", "ohlc", "pie", "scatter"})),
    ("plotly-cartesian.min.js", frozenset({"bar", "box", "contour", "heatmap", "histogram", "pie", "scatter"})),
)
"""The files, smallest first, with the types of traces that each can draw, as far as pages may need them."""

_FOLDER = Path(__file__).with_name("plotly")


def plotly_code(traces: Collection[str]) -> str:
    """Return the code that draws traces of these types ("scatter", "heatmap"), safe inside a script element."""
    return _bundle(frozenset(traces)).replace("</script", "<\\/script")


def _bundle(traces: frozenset[str]) -> str:
    for name, drawn in BUNDLES:
        if traces <= drawn:
            return (_FOLDER / name).read_text(encoding="utf-8")
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
