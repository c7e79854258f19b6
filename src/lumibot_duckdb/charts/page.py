"""A chart as a page: one HTML file that loads no other file and connects to no host."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from lumibot_duckdb.charts.chart import Chart, Table
from lumibot_duckdb.charts.colors import style
from lumibot_duckdb.pages.page import Plot, filled_in, whole_page

_MOST_NUMBERS = 8
"""Columns up to which a phone shows numbers in cells; more would be too small to read."""
_DIGITS = 10
"""Significant digits of numbers on a page: more than anyone reads, and two thirds of the bytes of all 17."""
_BODY, _STYLE = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))


def chart_page(chart: Chart) -> str:
    """Return the page. It is light or dark as the browser is set, and fits a phone."""
    title = escape(chart.title)
    shape = f"--height: {chart.height}" + ("" if chart.width is None else f"; --width: {chart.width}")
    filled = {
        "title": title,
        "notes": escape(" ".join(chart.notes)),
        "shape": shape,
        "kind": _kind(chart),
        "tables": "".join(map(_table, chart.tables)),
    }
    body = filled_in(_BODY.read_text(encoding="utf-8"), filled)
    return whole_page(title, body, {"chart": _compact(chart.plot)}, style=style() + _STYLE.read_text(encoding="utf-8"))


def _table(table: Table) -> str:
    rows = "".join(f"<tr>{_cells(row)}</tr>" for row in table.rows)
    return f'<section class="card"><h2>{escape(table.title)}</h2><table>{rows}</table></section>\n'


def _cells(row: tuple[str, ...]) -> str:
    *texts, number = (escape(text) for text in row)
    return "".join(f"<td>{text}</td>" for text in texts) + f'<td class="number">{number}</td>'


def _kind(chart: Chart) -> str:
    """Return the classes of the chart in the style of the page."""
    kinds = {
        "limited": chart.width is not None,
        "dense": any(trace.get("texttemplate") and len(trace["x"]) > _MOST_NUMBERS for trace in chart.plot["data"]),
    }
    return " ".join(kind for kind, applies in kinds.items() if applies)


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
