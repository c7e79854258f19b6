"""A heat map of correlations."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lumibot_duckdb.charts.colors import Theme, palette
from lumibot_duckdb.charts.errors import ChartError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lumibot_duckdb.charts.chart import Chart, Table

Order: TypeAlias = Literal["given", "similar"]

_MOST_NUMBERS = 15
"""Assets up to which each cell has its number."""
_MOST_GAPS = 60
"""Assets up to which cells are separated by a line."""
_MOST_LEVEL = 6
"""Assets up to which the names below are horizontal, if they fit."""
_MOST_PAIRS = 10
"""How many pairs with the highest and the lowest correlations are listed below many assets."""
_CELL, _LEAST, _MOST = 34, 260, 780
"""Pixels: the height of a cell, and the least and most of all together."""
_LABELS, _NARROWEST = 130, 520
"""Pixels: the width of the names beside the cells, and the least of all, for the title."""


def correlation_heatmap(
    matrix: pd.DataFrame, *, title: str = "Correlation", order: Order = "given", theme: Theme = "light"
) -> Any:
    """Return correlations as a Plotly figure.

    Args:
        matrix: A square frame of correlations, with the same names of assets as index and columns, as
            `storage.correlation` returns it. Missing values are left empty.
        title: The title.
        order: "given", or "similar" to put assets with similar correlations next to each other (hierarchical
            clustering; an asset's distance from another is the root of (1 - correlation)/2).
        theme: "light" or "dark".

    Returns:
        A `plotly.graph_objects.Figure`, with colours from -1 to 1, and the numbers if there are at most 15 assets.

    Raises:
        ChartError: The frame is empty or not square, its names differ, or a value is not between -1 and 1; or `order`
            is unknown.

    Example:
        >>> import pandas as pd
        >>> names = ["SPY", "QQQ"]
        >>> figure = correlation_heatmap(pd.DataFrame([[1.0, 0.9], [0.9, 1.0]], names, names))
        >>> [list(row) for row in figure.data[0].z]
        [[1.0, 0.9], [0.9, 1.0]]
    """
    from lumibot_duckdb.charts.figure import chart_figure

    palette(theme)  # refuses an unknown one
    return chart_figure(heat_map(matrix, title, order=order), theme)


def heat_map(
    matrix: pd.DataFrame,
    title: str,
    notes: tuple[str, ...] = (),
    *,
    order: Order = "given",
    decimals: int | None = None,
) -> Chart:
    """Return correlations as a chart, whose values are rounded to `decimals`. Raises `ChartError`."""
    import numpy as np

    from lumibot_duckdb.charts.chart import Chart

    names, values = _checked(matrix)
    places = _places(values, order)
    shown = [escape(names[place], quote=False) for place in places]
    values = values[np.ix_(places, places)]
    if decimals is not None:
        values = values.round(decimals)
    few = len(names) <= _MOST_NUMBERS
    gap = 1 if len(names) <= _MOST_GAPS else 0
    cells = {
        "type": "heatmap",
        "x": shown,
        "y": shown,
        "z": [[None if np.isnan(value) else float(value) for value in row] for row in values],
        "zmin": -1,
        "zmax": 1,
        "colorscale": [[0, "--low"], [0.5, "--mid"], [1, "--high"]],
        "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>",
        "texttemplate": "%{z:.2f}" if few else "",
        "hoverongaps": False,
        "xgap": gap,
        "ygap": gap,
        "colorbar": {
            **{"orientation": "h", "x": 0.5, "y": 1, "yanchor": "bottom", "len": 1, "thickness": 8, "ypad": 12},
            **{"outlinewidth": 0, "tickvals": [-1, -0.5, 0, 0.5, 1], "title": {"text": ""}},
        },  # without this title, Plotly moves that of the figure
    }
    # As many names as fit: Plotly leaves out the others.
    axis = {"type": "category", "nticks": 0, "showgrid": False, "ticks": "outside", "tickcolor": "--card", "ticklen": 4}
    layout = {
        "hovermode": "closest",
        "xaxis": {**axis, **({} if len(names) <= _MOST_LEVEL else {"tickangle": -90})},
        "yaxis": {**axis, "autorange": "reversed"},
        "margin": {"l": 8, "r": 8, "t": 0, "b": 8},
    }
    height = max(_LEAST, min(_MOST, _CELL * len(names)))
    width = max(_NARROWEST, height + _LABELS)
    tables = () if few else _extremes([names[place] for place in places], values)
    return Chart(title, notes, {"data": [cells], "layout": layout}, height, width, tables)


def _extremes(names: list[str], values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Table, ...]:
    """Return the pairs with the highest and the lowest correlations, for a heat map whose cells are small."""
    import numpy as np

    from lumibot_duckdb.charts.chart import Table

    one, other = np.triu_indices(len(values), 1)
    known = np.isfinite(values[one, other])
    one, other = one[known], other[known]
    ascending = values[one, other].argsort(kind="stable")
    return tuple(
        Table(title, tuple((names[one[at]], names[other[at]], f"{values[one[at], other[at]]:.3f}") for at in chosen))
        for title, chosen in (
            ("Highest correlations", ascending[::-1][:_MOST_PAIRS]),
            ("Lowest correlations", ascending[:_MOST_PAIRS]),
        )
    )


def in_order(matrix: pd.DataFrame, order: Order) -> pd.DataFrame:
    """Return a matrix of correlations with its assets in an order. Raises `ChartError`."""
    _, values = _checked(matrix)
    places = _places(values, order)
    found: pd.DataFrame = matrix.iloc[places, places]
    return found


def _checked(matrix: pd.DataFrame) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]]]:
    import numpy as np

    names = [str(name) for name in matrix.columns]
    if not names or matrix.shape[0] != matrix.shape[1] or [str(name) for name in matrix.index] != names:
        raise ChartError("a matrix of correlations has the same names as index and columns, and at least one")
    try:
        values = np.asarray(matrix.to_numpy(dtype=float, na_value=np.nan))
    except (TypeError, ValueError):
        raise ChartError("the matrix of correlations has values that are not numbers") from None
    wrong = np.abs(values) > 1 + 1e-9
    if wrong.any():
        raise ChartError(f"a correlation is between -1 and 1, not {values[wrong][0]:g}")
    return names, values


def _places(values: Any, order: Order) -> list[int]:
    if order == "given":
        return list(range(len(values)))
    if order != "similar":
        raise ChartError(f"{order!r} is not an order: write 'given' or 'similar'")
    from lumibot_duckdb.charts.similarity import similar_next_to_each_other

    return similar_next_to_each_other(values)
