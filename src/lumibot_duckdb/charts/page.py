"""A chart as a page: one HTML file that loads no other file and connects to no host."""

from __future__ import annotations

from html import escape
from pathlib import Path

from lumibot_duckdb.charts.chart import Chart
from lumibot_duckdb.charts.colors import style
from lumibot_duckdb.pages.page import filled_in, whole_page

_BODY, _STYLE = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))


def chart_page(chart: Chart) -> str:
    """Return the page. It is light or dark as the browser is set, and fits a phone."""
    title = escape(chart.title)
    filled = {"title": title, "notes": escape(" ".join(chart.notes)), "height": str(chart.height)}
    body = filled_in(_BODY.read_text(encoding="utf-8"), filled)
    return whole_page(title, body, {"chart": chart.plot}, style=style() + _STYLE.read_text(encoding="utf-8"))
