"""A chart as a page: one HTML file that loads no other file and connects to no host."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from lumibot_duckdb.charts.chart import Chart
from lumibot_duckdb.charts.colors import style
from lumibot_duckdb.pages.page import Plot, filled_in, whole_page

_DIGITS = 10
"""Significant digits of numbers on a page: more than anyone reads, and two thirds of the bytes of all 17."""
_BODY, _STYLE = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))


def chart_page(chart: Chart) -> str:
    """Return the page. It is light or dark as the browser is set, and fits a phone."""
    title = escape(chart.title)
    filled = {"title": title, "notes": escape(" ".join(chart.notes)), "height": str(chart.height)}
    body = filled_in(_BODY.read_text(encoding="utf-8"), filled)
    return whole_page(title, body, {"chart": _compact(chart.plot)}, style=style() + _STYLE.read_text(encoding="utf-8"))


def _compact(plot: Plot) -> Plot:
    """Return a plot without the names of all candles in each trace, which the axis has, and with shorter numbers."""
    names = plot["layout"]["xaxis"].get("categoryarray")
    traces = [{key: each for key, each in trace.items() if key != "x" or each != names} for trace in plot["data"]]
    return {**plot, "data": _rounded(traces)}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
