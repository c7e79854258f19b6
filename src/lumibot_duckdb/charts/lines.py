"""Charts of values over time as lines: correlations over windows, and other frames of an analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.charts.colors import LINES, Theme, palette
from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.charts.stacked import Pane, axis_name, height_of, stacked_layout

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.charts.chart import Chart

MOST_LINES = 21
"""More lines would look alike: there are three kinds of line in seven colours."""
_KINDS = ("solid", "dot", "dash")
_HEIGHT = 400
_COLUMNS = ("asset_symbol", "other_symbol", "timestamp", "correlation")


@dataclass(frozen=True)
class LinePane:
    """Lines in one pane: a frame with a column for each, the title and height of the pane, and its vertical axis."""

    frame: pd.DataFrame
    title: str = ""
    height: int = _HEIGHT
    axis: Mapping[str, Any] = field(default_factory=dict)


def correlation_lines(rolling: pd.DataFrame, *, title: str = "Correlation", theme: Theme = "light") -> Any:
    """Return correlations over windows as a Plotly figure with a line for each pair of assets.

    Args:
        rolling: The frame that `storage.correlation(..., window=n)` returns.
        title: The title.
        theme: "light" or "dark".

    Returns:
        A `plotly.graph_objects.Figure`. Of more than 2,000 times, every second, third, ... is drawn.

    Raises:
        ChartError: The frame is another one, is empty, or has more than 21 pairs.

    Example:
        >>> import pandas as pd
        >>> times = pd.date_range("2024-01-02", periods=3, tz="America/New_York")
        >>> frame = pd.DataFrame({"timestamp": times, "correlation": [0.5, 0.6, 0.4]})
        >>> figure = correlation_lines(frame.assign(asset_symbol="SPY", other_symbol="QQQ"))
        >>> figure.data[0].name, figure.data[0].y
        ('SPY, QQQ', (0.5, 0.6, 0.4))
    """
    from lumibot_duckdb.charts.figure import chart_figure

    palette(theme)  # refuses an unknown one
    return chart_figure(correlation_chart(rolling, title), theme)


def correlation_chart(rolling: pd.DataFrame, title: str, notes: tuple[str, ...] = ()) -> Chart:
    """Return correlations over windows as a chart. Raises `ChartError`."""
    import pandas as pd

    complete = set(_COLUMNS) <= {*rolling.columns}
    if complete and rolling.empty:
        raise ChartError("there is nothing to draw: no time has as many rows before it as the window needs")
    if not complete or not isinstance(rolling["timestamp"].dtype, pd.DatetimeTZDtype):
        raise ChartError("correlations over windows are a frame as `storage.correlation(..., window=n)` returns it")
    pairs = list(dict.fromkeys(zip(rolling["asset_symbol"], rolling["other_symbol"], strict=True)))
    if len(pairs) > MOST_LINES:
        raise ChartError(f"{len(pairs):,} pairs are too many lines: choose 7 assets or fewer")
    table = rolling.pivot(index="timestamp", columns=["asset_symbol", "other_symbol"], values="correlation")
    table = table[pairs].set_axis([f"{one}, {other}" for one, other in pairs], axis=1)
    return line_chart(title, [LinePane(table, axis={"nticks": 8})], notes)


def line_chart(title: str, panes: Sequence[LinePane], notes: tuple[str, ...] = ()) -> Chart:
    """Return lines over time as a chart. The frames of all panes have the same tz-aware index."""
    import pandas as pd

    from lumibot_duckdb.charts.candles import MOST_CANDLES
    from lumibot_duckdb.charts.chart import Chart
    from lumibot_duckdb.charts.panes import numbers
    from lumibot_duckdb.charts.time_axis import labels
    from lumibot_duckdb.storage.times import index_seconds

    index = pd.DatetimeIndex(panes[0].frame.index)
    step = -(-len(index) // MOST_CANDLES)
    kept = slice((len(index) - 1) % step, None, step)  # the last one among them
    in_days = bool((index == index.normalize()).all())
    names = labels(index_seconds(index[kept]), "day" if in_days else "minute", str(index.tz))
    traces: list[dict[str, Any]] = []
    for place, pane in enumerate(panes, 1):
        for name, column in pane.frame.iloc[kept].items():
            number = len(traces)
            line = {"color": f"--c{number % LINES}", "dash": _KINDS[number // LINES % len(_KINDS)], "width": 1.5}
            where = {"x": names, "y": numbers(column.to_numpy(float)), "yaxis": axis_name(place)}
            look = {"type": "scatter", "mode": "lines", "line": line, "name": escape(str(name), quote=False)}
            traces.append({**where, **look, "hovertemplate": "%{y:.4g}"})
    stacked = [Pane(pane.title, pane.height, dict(pane.axis)) for pane in panes]
    if step > 1:
        notes = (*notes, f"One of {step:,} values is drawn.")
    plot = {"data": traces, "layout": {**stacked_layout(stacked, names), "showlegend": True}}
    return Chart(title, notes, plot, height_of(stacked))
