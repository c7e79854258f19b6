"""The part of the page about walk-forward windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from lumibot_duckdb.comparison.trading_statistics import STYLES, value_text
from lumibot_duckdb.display import printable
from lumibot_duckdb.pages.page import Plot
from lumibot_duckdb.sweeps.report.contents import SweepReport, Window, listed
from lumibot_duckdb.sweeps.report.equity import joined_plot
from lumibot_duckdb.sweeps.report.table_data import objective_name

_NOTHING = "\N{EN DASH}"


def windows_section(report: SweepReport) -> str:
    """Return the windows as HTML; "" if the sweep has none."""
    if not report.windows:
        return ""
    joined = (
        '<h3>Equity of the tests, one after another</h3><div class="plot" data-plot="joined"></div>'
        if report.joined is not None
        else ""
    )
    return (
        '<section class="card" id="windows"><h2>Walk-forward</h2>'
        "<p>In each window, the parameters were chosen on the days of the search and tested on the days after it. What "
        "they earned there is the better estimate of what they will earn.</p>"
        f'<div class="plot" data-plot="windows"></div>{joined}{_table(report)}{_stability(report.windows)}</section>'
    )


def windows_plots(report: SweepReport) -> dict[str, Plot]:
    """Return the plots of the section."""
    plots = {"windows": _bars(report)} if report.windows else {}
    if report.windows and report.joined is not None:
        plots["joined"] = joined_plot(report.joined)
    return plots


def _bars(report: SweepReport) -> Plot:
    is_percent = _style(report) == "percent"
    factor = 100 if is_percent else 1
    data = [
        {
            "type": "bar",
            "name": name,
            "x": [f"{window.test[0]:%Y-%m-%d}" for window in report.windows],
            "y": [
                None if (value := getattr(window, field)) is None else float(f"{factor * value:.6g}")
                for window in report.windows
            ],
            "marker": {"color": color},
        }
        for name, field, color in (("in sample", "in_sample", "--c6"), ("out of sample", "out_of_sample", "--c0"))
    ]
    title = objective_name(report) + (", %" if is_percent else "")
    layout = {
        "barmode": "group",
        "bargap": 0.3,
        "xaxis": {"type": "category", "title": {"text": "first day of the test"}},
        "yaxis": {"title": {"text": _plain(title)}},
    }
    return {"data": data, "layout": layout}


def _table(report: SweepReport) -> str:
    style = _style(report)
    header = ("window", "search", "test", "chosen parameters", "in sample", "out of sample")
    rows = []
    for window in report.windows:
        cells = (
            f"{window.number}",
            _days(window.train),
            _days(window.test),
            escape(printable(listed(window.parameters))) or _NOTHING,
            *(
                _NOTHING if value is None else value_text(value, style)
                for value in (window.in_sample, window.out_of_sample)
            ),
        )
        rows.append(
            "<tr>"
            + "".join(
                f'<td{_number(place)} data-of="{name}">{cell}</td>'
                for place, (name, cell) in enumerate(zip(header, cells, strict=True))
            )
            + "</tr>"
        )
    head = "".join(f"<th{_number(place)}>{name}</th>" for place, name in enumerate(header))
    return (
        f'<div class="scroll"><table class="stacked"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _stability(windows: Sequence[Window]) -> str:
    """Return how often each parameter had its most frequent value."""
    chosen = [window.parameters for window in windows if window.parameters]
    if len(chosen) < 2:
        return ""
    items = []
    for name in dict.fromkeys(name for each in chosen for name in each):
        value, times = Counter(str(each.get(name)) for each in chosen).most_common(1)[0]
        what = f"<code>{escape(printable(name))}</code>: {escape(printable(value))}"
        items.append(f"<li>{what} in {times} of {len(chosen)} windows</li>")
    return f"<h3>The most frequent values</h3><ul>{''.join(items)}</ul>"


def _style(report: SweepReport) -> Any:
    return STYLES[report.objective][1] if report.objective in STYLES else "ratio"


def _days(span: tuple[Any, Any]) -> str:
    return f"{span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d}"


def _number(place: int) -> str:
    return ' class="number"' if place >= 4 else ""


def _plain(text: str) -> str:
    """Return a text as Plotly draws it unchanged: it reads some HTML in texts."""
    return escape(text, quote=False)
