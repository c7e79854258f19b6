"""A heat map of correlations."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.charts.colors import Theme, painted, palette
from lumibot_duckdb.charts.errors import ChartError

if TYPE_CHECKING:
    import pandas as pd

_MOST_NUMBERS = 15
"""Rows up to which each cell has its number."""


def correlation_heatmap(matrix: pd.DataFrame, *, title: str = "Correlation", theme: Theme = "light") -> Any:
    """Return correlations as a Plotly figure.

    Args:
        matrix: A square frame of correlations, with the same names of assets as index and columns. Missing values are
            left empty.
        title: The title.
        theme: "light" or "dark".

    Returns:
        A `plotly.graph_objects.Figure`, with colours from -1 to 1, and the numbers if there are at most 15 assets.

    Raises:
        ChartError: The frame is empty or not square, its names differ, or a value is not between -1 and 1.

    Example:
        >>> import pandas as pd
        >>> names = ["SPY", "QQQ"]
        >>> figure = correlation_heatmap(pd.DataFrame([[1.0, 0.9], [0.9, 1.0]], names, names))
        >>> [list(row) for row in figure.data[0].z]
        [[1.0, 0.9], [0.9, 1.0]]
    """
    import numpy as np

    from lumibot_duckdb.charts.figure import figure

    names = [str(name) for name in matrix.columns]
    if not names or matrix.shape[0] != matrix.shape[1] or [str(name) for name in matrix.index] != names:
        raise ChartError("a matrix of correlations has the same names as index and columns, and at least one")
    try:
        values = matrix.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise ChartError("the matrix of correlations has values that are not numbers") from None
    if bool((np.abs(values[~np.isnan(values)]) > 1 + 1e-9).any()):
        raise ChartError(f"a correlation is between -1 and 1, not {values[np.abs(values) > 1 + 1e-9][0]:g}")
    shown = [escape(name, quote=False) for name in names]
    colors = palette(theme)
    cells = {
        "type": "heatmap",
        "x": shown,
        "y": shown,
        "z": [[None if np.isnan(value) else float(value) for value in row] for row in values],
        "zmin": -1,
        "zmax": 1,
        "colorscale": [[0, colors["low"]], [0.5, colors["mid"]], [1, colors["high"]]],
        "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>",
        "texttemplate": "%{z:.2f}" if len(names) <= _MOST_NUMBERS else "",
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"thickness": 12, "outlinewidth": 0, "tickvals": [-1, -0.5, 0, 0.5, 1]},
    }
    side = max(420, min(900, 160 + 34 * len(names)))
    layout = {
        "title": {"text": escape(title, quote=False), "x": 0, "xref": "paper", "font": {"size": 17}},
        "width": side + 80,
        "height": side,
        "margin": {"l": 16, "r": 16, "t": 60, "b": 16},
        "hovermode": "closest",
        "xaxis": {"type": "category", "nticks": len(names), "showgrid": False},
        "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
    }
    return figure({"data": [painted(cells, colors)], "layout": layout}, theme)
