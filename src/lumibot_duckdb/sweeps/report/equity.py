"""The plot of the equity of the best trials and the median one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lumibot_duckdb.pages.curves import Curve, kept_places
from lumibot_duckdb.pages.page import Plot
from lumibot_duckdb.sweeps.report.contents import BEST, SweepReport

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 800
"""Of each curve."""
_ZONE = "America/New_York"


def equity_plot(report: SweepReport) -> Plot:
    """Draw the equity of the ten best trials, and of the trial with the median objective."""
    ranked = report.ranking
    best = [number for number in ranked[:BEST] if number in report.equity]
    data = []
    if len(ranked) > BEST and (median := ranked[len(ranked) // 2]) in report.equity:
        dashed = {"color": "--text", "width": 1.5, "dash": "dash"}
        data.append(_trace(report.equity[median], f"median, trial {median}", dashed))
    for place, number in enumerate(best[1:], 2):
        trace = _trace(report.equity[number], f"2 to {len(best)}", {"color": "--c2", "width": 1})
        hover = f"{place}. trial {number}<br>%{{x}}: %{{y:,.0f}}<extra></extra>"
        data.append({**trace, "hovertemplate": hover, "legendgroup": "next", "showlegend": place == 2})
    if best:
        data.append(_trace(report.equity[best[0]], f"best, trial {best[0]}", {"color": "--c0", "width": 2.5}))
    return {"data": data, "layout": _layout("closest")}


def joined_plot(joined: pd.Series[float]) -> Plot:
    """Draw the out-of-sample equity of all windows."""
    return {"data": [_trace(joined, "out of sample", {"color": "--c0", "width": 2})], "layout": _layout("x unified")}


def _layout(hover: str) -> dict[str, object]:
    axes = {
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": "portfolio value"}, "exponentformat": "none", "separatethousands": True},
    }
    return {**axes, "hovermode": hover}


def _trace(values: pd.Series[float], name: str, line: dict[str, object]) -> dict[str, object]:
    times, numbers = _curve(values)
    return {
        "type": "scatter",
        "mode": "lines" if len(times) > 1 else "markers",  # a line needs two points
        "name": name,
        "x": times,
        "y": numbers,
        "line": line,
        "marker": {"color": line["color"]},
    }


def _curve(values: pd.Series[float]) -> Curve:
    """Return a curve with fewer points: times in New York, since a browser ignores zones, and values with 7 digits."""
    import pandas as pd

    finite = values[np.isfinite(values.to_numpy(dtype=float))]
    kept = finite.iloc[list(kept_places(finite.tolist(), _POINTS))]
    times = pd.DatetimeIndex(kept.index)
    local = times.tz_convert(_ZONE) if times.tz is not None else times
    has_hours = bool((local != local.normalize()).any())
    texts = local.strftime("%Y-%m-%d %H:%M" if has_hours else "%Y-%m-%d")
    return list(texts), [float(f"{value:.7g}") for value in kept]
