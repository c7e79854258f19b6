"""The part of the page about walk-forward windows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape

from lumibot_duckdb.comparison.trading_statistics import style_of, value_text
from lumibot_duckdb.display import count, printable
from lumibot_duckdb.pages.page import Plot
from lumibot_duckdb.sweeps.report.contents import SweepReport, Window, listed
from lumibot_duckdb.sweeps.report.equity import joined_plot
from lumibot_duckdb.sweeps.report.table_data import objective_name
from lumibot_duckdb.sweeps.walk_forward.out_of_sample import Stability

_NOTHING = "\N{EN DASH}"


def windows_section(report: SweepReport) -> str:
    """Return the windows as HTML; "" if the sweep has none."""
    found = report.walk_forward
    if found is None or not found.windows:
        return ""
    joined = (
        '<h3>Equity of the tests, one after another</h3><div class="plot" data-plot="joined"></div>'
        if found.equity is not None
        else ""
    )
    return (
        '<section class="card" id="windows"><h2>Walk-forward</h2>'
        "<p>In each window, the parameters were chosen on the days of the search and tested on the days after it. What "
        "they earned there is the better estimate of what they will earn.</p>"
        f'<div class="plot" data-plot="windows"></div>{joined}{_table(report, found.windows)}'
        f"{_stability(found.stability)}</section>"
        '<p class="muted">The trials, plots and statistics below are those of the search in the last window. Its best '
        "parameters are the ones to trade next.</p>"
    )


def windows_plots(report: SweepReport) -> dict[str, Plot]:
    """Return the plots of the section."""
    found = report.walk_forward
    if found is None or not found.windows:
        return {}
    plots = {"windows": _bars(report, found.windows)}
    return plots if found.equity is None else {**plots, "joined": joined_plot(found.equity)}


def _bars(report: SweepReport, windows: Sequence[Window]) -> Plot:
    is_percent = style_of(report.objective) == "percent"
    factor = 100 if is_percent else 1
    data = [
        {
            "type": "bar",
            "name": name,
            "x": [f"{window.test[0]:%Y-%m-%d}" if window.test else f"window {window.number}" for window in windows],
            "y": [
                None if (value := getattr(window, field)) is None else float(f"{factor * value:.6g}")
                for window in windows
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


def _table(report: SweepReport, windows: Sequence[Window]) -> str:
    style = style_of(report.objective)
    header = ("window", "search", "test", "chosen parameters", "in sample", "out of sample")
    rows = []
    for window in windows:
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


def _stability(found: Sequence[Stability]) -> str:
    """Return how often each parameter had its most frequent value, and how far its values are apart."""
    items = []
    for each in found:
        value, times = each.counts[0]
        windows = sum(times for _, times in each.counts)
        text = f"{value} in {times} of {windows} windows, {count(each.changes, 'change')}"
        if each.spread is not None:
            text += f"; from {each.low:g} to {each.high:g}, {100 * each.spread:.0f} % of the searched range"
        items.append(f"<li><code>{escape(printable(each.name))}</code>: {escape(printable(text))}</li>")
    return f"<h3>Stability: the most frequent values</h3><ul>{''.join(items)}</ul>" if items else ""


def _days(span: tuple[date, date] | None) -> str:
    return _NOTHING if span is None else f"{span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d}"


def _number(place: int) -> str:
    return ' class="number"' if place >= 4 else ""


def _plain(text: str) -> str:
    """Return a text as Plotly draws it unchanged: it reads some HTML in texts."""
    return escape(text, quote=False)
