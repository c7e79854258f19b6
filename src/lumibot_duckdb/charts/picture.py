"""A chart as a PNG picture, which Kaleido draws with an installed Chrome or Chromium."""

from __future__ import annotations

from importlib.util import find_spec

from lumibot_duckdb.analytics.errors import MissingLibraryError
from lumibot_duckdb.charts.chart import Chart
from lumibot_duckdb.charts.colors import Theme
from lumibot_duckdb.charts.errors import ChartError

_WIDTH, _PIXELS = 1_200, 2
"""The width in points of a chart that uses all of it, and how many pixels a point has."""


def require_kaleido() -> None:
    """Raise `MissingLibraryError` unless pictures can be drawn."""
    if find_spec("kaleido") is None:
        raise MissingLibraryError(
            "PNG files need Kaleido: pip install 'lumibot-duckdb[charts]'; HTML files need nothing more"
        )


def chart_png(chart: Chart, theme: Theme = "light") -> bytes:
    """Return the picture. Raises `MissingLibraryError` without Kaleido, and `ChartError` if it fails."""
    require_kaleido()
    from lumibot_duckdb.charts.figure import chart_figure

    figure = chart_figure(chart, theme)
    try:
        return bytes(figure.to_image(format="png", width=chart.width or _WIDTH, scale=_PIXELS))
    except Exception as error:  # Kaleido raises errors of several libraries
        reason = str(error.args[0] if error.args else error).strip().splitlines() or [type(error).__name__]
        raise ChartError(
            f"Kaleido could not draw the picture: {reason[0]} It needs Chrome or Chromium, which `plotly_get_chrome` "
            "installs; HTML files need neither"
        ) from error
