"""Plotly figures, light or dark."""

from __future__ import annotations

from html import escape
from typing import Any

from lumibot_duckdb.charts.chart import Chart
from lumibot_duckdb.charts.colors import Theme, painted, palette
from lumibot_duckdb.pages.page import Plot

_ABOVE, _TITLE, _BELOW = 110, 34, 50
"""Pixels above the panes, from the top to the middle of the title, and below the panes, for the times."""


def chart_figure(chart: Chart, theme: Theme) -> Any:
    """Return a chart as a `plotly.graph_objects.Figure`."""
    notes = escape(" ".join(chart.notes), quote=False)
    text = escape(chart.title, quote=False) + (f"<br><sup>{notes}</sup>" if notes else "")
    height = chart.height + _ABOVE + _BELOW
    place = {"x": 0, "xref": "paper", "y": 1 - _TITLE / height, "yref": "container", "yanchor": "middle"}
    own = {
        "title": {**place, "text": text, "font": {"size": 17}},
        "height": height,
        "width": chart.width,
        "margin": {"l": 36, "r": 16, "t": _ABOVE, "b": _BELOW},
    }
    return figure({"data": chart.plot["data"], "layout": chart.plot["layout"] | own}, theme)


def figure(plot: Plot, theme: Theme) -> Any:
    """Return a plot as a figure with the colours of a theme."""
    import plotly.graph_objects as go

    colors = palette(theme)
    axis = {
        "gridcolor": colors["line"],
        "zerolinecolor": colors["line"],
        "linecolor": colors["line"],
        "automargin": True,
    }
    layout = painted(plot["layout"], colors)
    for name in [name for name in layout if name.startswith(("xaxis", "yaxis"))]:
        layout[name] = {**axis, **layout[name]}
    layout["xaxis"] = {"nticks": 8, **layout.get("xaxis", {})}
    base = {
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": colors["text"]},
        "paper_bgcolor": colors["card"],
        "plot_bgcolor": colors["card"],
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "tracegroupgap": 2},
        "hoverlabel": {"bgcolor": colors["card"], "font": {"color": colors["text"]}, "namelength": -1},
    }
    # Older releases of Plotly lack some of these properties, which are then left out.
    return go.Figure(data=[painted(each, colors) for each in plot["data"]], layout=base | layout, skip_invalid=True)
