"""The report of a comparison as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from lumibot_duckdb import clock
from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.comparison import Result
from lumibot_duckdb.comparison.differences import Run
from lumibot_duckdb.comparison.meters import PHASES, Costs
from lumibot_duckdb.comparison.outcome import Backtest, Table
from lumibot_duckdb.comparison.tables import ratio
from lumibot_duckdb.pages.page import Plot, filled_in, whole_page

_BODY, _STYLE = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))
_LUMIBOT, _DUCKDB = "Lumibot", "lumibot-duckdb"
_MAX_POINTS = 5_000
"""Points of a curve that are drawn; longer curves are thinned out."""
_MAX_BACKTESTS = 20
"""Backtests whose curves are drawn."""
_MAX_LENGTH = 2_000
"""Characters of a value that are shown."""


def report_page(result: Result) -> str:
    """Return the page. All text from the script is escaped."""
    backtests = result.paired
    plots = {"memory": _memory(result), "phases": _phases(result)}
    sections = []
    for number, (theirs, ours) in enumerate(backtests[:_MAX_BACKTESTS]):
        plots |= {f"equity-{number}": _equity(theirs, ours), f"drawdown-{number}": _drawdown(theirs, ours)}
        sections.append(_backtest_section(number, theirs))
    filled = {
        "title": escape(f"{result.script.name}, on Lumibot's storage and on lumibot-duckdb"),
        "subtitle": escape(_subtitle(result, len(backtests))),
        "mood": "good" if result.identical else "bad",
        "verdict": escape(summary.verdict(result)),
        "figures": _figures(result),
        "notes": _notes([*summary.uncovered_notes(result), *result.notes, *_note_on_curves(len(backtests))]),
        "differences": _differences(result),
        "backtests": "\n".join(sections),
        "costs": _costs(result),
        "footer": escape(_versions(result)),
    }
    body = filled_in(_BODY.read_text(encoding="utf-8"), filled)
    return whole_page(filled["title"], body, plots, style=_STYLE.read_text(encoding="utf-8"))


def _subtitle(result: Result, count: int) -> str:
    runs = len(result.duckdb)
    return (
        f"{count:,} {'backtest' if count == 1 else 'backtests'}, "
        f"{'one run' if runs == 1 else f'{runs:,} runs'} on each side, {clock.utc_now().astimezone():%Y-%m-%d %H:%M}"
    )


# -- text and tables ---------------------------------------------------------------------------------------------


def _figures(result: Result) -> str:
    measures = [
        ("Time", lambda costs: costs.seconds, "{:,.1f} s"),
        ("CPU time", lambda costs: costs.cpu_seconds, "{:,.1f} s"),
        ("Peak memory", lambda costs: costs.peak_bytes / 1e6, "{:,.0f} MB"),
        ("Requests", lambda costs: sum(costs.requests.values()), "{:,.0f}"),
        ("Cache on disk", lambda costs: costs.disk_after / 1e6, "{:,.1f} MB"),
    ]
    cards = []
    for what, measure, style in measures:
        theirs, ours = summary.medians(result, measure)
        times = ratio(theirs, ours) or ("none" if ours == 0 else "only lumibot-duckdb")
        values = f"{_dot('lumibot')}{style.format(theirs)} &ensp; {_dot('duckdb')}{style.format(ours)}"
        cards.append(
            f'<div class="figure"><div class="what">{what}</div><div class="ratio">{_times(times)}</div>'
            f'<div class="values muted">{values}</div></div>'
        )
    return "\n".join(cards)


def _times(text: str) -> str:
    return text.replace(" x ", " &times; ")


def _dot(side: str) -> str:
    return f'<span class="dot" style="background:var(--{side})"></span>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<section class="card">{"".join(f"<p>{escape(note)}</p>" for note in notes)}</section>'


def _note_on_curves(count: int) -> list[str]:
    if count <= _MAX_BACKTESTS:
        return []
    return [f"All {count:,} backtests were compared, but only the curves of the first {_MAX_BACKTESTS} are drawn."]


def _differences(result: Result) -> str:
    comparison = result.comparison
    rows = [(each, (_LUMIBOT, _DUCKDB)) for each in comparison.differences]
    for run in result.differing_runs:
        side = _LUMIBOT if run.side == "lumibot" else _DUCKDB
        rows.append((run.difference, (f"{side}, run 1", f"{side}, run {run.number}")))
    if not rows:
        text = f"None in {summary.compared(comparison)}." if result.compared else "Nothing was compared."
        return f'<section class="card"><h2>Differences</h2><p>{escape(text)}</p></section>'
    body = []
    for difference, sides in rows:
        what = summary.KINDS[difference.kind][0]
        cells = [
            f"<td>{escape(difference.when or '·')}</td>",
            f'<td class="place"><b>{escape(difference.subject)}</b> {escape(difference.place)} '
            f'<span class="muted">({escape(what)}, {escape(difference.backtest)})</span></td>',
            *(
                f'<td class="value" data-of="{escape(side)}">{escape(_cut(value))}</td>'
                for side, value in zip(sides, (difference.left, difference.right), strict=True)
            ),
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    total = sum(comparison.counts.values())
    more = f"<p class=muted>The first {len(rows):,} of {total:,}.</p>" if total > len(rows) else ""
    head = "".join(f"<th>{name}</th>" for name in ("time in the backtest", "where", _LUMIBOT, _DUCKDB))
    return (
        f'<section class="card"><h2>Differences</h2>{more}<div class="scroll"><table class="differences">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></section>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def _costs(result: Result) -> str:
    body = []
    for what, theirs, ours, times in summary.costs_of(result):
        part = ' class="part"' if what.startswith("- ") else ""
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in (theirs, ours, _times(times)))
        body.append(f"<tr{part}><td>{escape(what.removeprefix('- '))}</td>{numbers}</tr>")
    head = f'<th></th><th class="number">{_LUMIBOT}</th><th class="number">{_DUCKDB}</th><th class="number"></th>'
    medians = "<p class=muted>Medians of all runs.</p>" if len(result.duckdb) > 1 else ""
    return (
        f'{medians}<div class="scroll"><table class="costs"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _backtest_section(number: int, backtest: Backtest) -> str:
    fills = summary.counted(len(backtest.fills), "fill", "fills")
    values = summary.counted(len(backtest.values.rows), *summary.KINDS["portfolio"])
    about = f"{escape(backtest.source)}: {fills}, fees {backtest.fees:,.2f}, {values}"
    return (
        f'<section class="card"><h2>{escape(backtest.name)}</h2><p class="muted">{about}</p>'
        f'<div class="plot" data-plot="equity-{number}"></div>'
        f'<div class="plot low" data-plot="drawdown-{number}"></div></section>'
    )


def _versions(result: Result) -> str:
    return ", ".join(f"{name} {number}" for name, number in result.duckdb[0].outcome.versions.items())


# -- plots -------------------------------------------------------------------------------------------------------


def _equity(theirs: Backtest, ours: Backtest) -> Plot:
    return _curves([_values(backtest.values) for backtest in (theirs, ours)], "portfolio value")


def _drawdown(theirs: Backtest, ours: Backtest) -> Plot:
    curves = []
    for times, values in (_values(backtest.values) for backtest in (theirs, ours)):
        top, below = float("-inf"), []
        for value in values:
            top = max(top, value)
            below.append(round(100 * (value / top - 1), 6) if top > 0 else 0.0)
        curves.append((times, below))
    plot = _curves(curves, "drawdown, %")
    plot["layout"]["showlegend"] = False
    return plot


def _curves(curves: Sequence[tuple[list[str], list[float]]], title: str) -> Plot:
    """Draw Lumibot's curve wide and ours narrow on top of it, so that both are visible where they coincide."""
    data = []
    for (times, values), (name, color, width) in zip(
        curves, [(_LUMIBOT, "--lumibot", 6), (_DUCKDB, "--duckdb", 2)], strict=True
    ):
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if len(times) > 1 else "markers",  # a line needs two points
                "name": name,
                "x": _thinned(times),
                "y": _thinned(values),
                "line": {"color": color, "width": width},
                "marker": {"color": color, "size": 2 * width + 4},
            }
        )
    return {"data": data, "layout": {"yaxis": {"title": {"text": title}}}}


def _thinned(points: list[Any]) -> list[Any]:
    every = -(-len(points) // _MAX_POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _values(table: Table) -> tuple[list[str], list[float]]:
    pairs = [
        # The browser would ignore a time zone; the times are in the backtest's.
        (time[:19], float(value))
        for time, value in zip(table.column("datetime"), table.column("portfolio_value"), strict=False)
        if value not in ("nan", "None", "inf", "-inf")
    ]
    return [time for time, _ in pairs], [value for _, value in pairs]


def _memory(result: Result) -> Plot:
    data = []
    for name, color, run in _last_runs(result):
        points = run.outcome.costs.memory
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [at for at, _ in points],
                "y": [round(held / 1e6, 1) for _, held in points],
                "line": {"color": color, "width": 2},
            }
        )
    axes = {"xaxis": {"title": {"text": "seconds"}}, "yaxis": {"title": {"text": "MB"}, "rangemode": "tozero"}}
    return {"data": data, "layout": axes}


def _phases(result: Result) -> Plot:
    """Draw the median duration of each phase as a bar, with the first phase at the top."""
    names = [phase for phase in PHASES if max(summary.medians(result, _phase(phase))) > 0]
    data = []
    for side, (name, color) in enumerate(((_LUMIBOT, "--lumibot"), (_DUCKDB, "--duckdb"))):
        seconds = [round(summary.medians(result, _phase(phase))[side], 3) for phase in names]
        bars = {"type": "bar", "orientation": "h", "name": name, "x": seconds, "y": [_wrapped(each) for each in names]}
        data.append({**bars, "marker": {"color": color}})
    axes = {"xaxis": {"title": {"text": "seconds"}}, "yaxis": {"autorange": "reversed", "tickmode": "linear"}}
    return {"data": data, "layout": {**axes, "barmode": "group", "hovermode": "closest", "bargap": 0.25}}


def _phase(name: str) -> Any:
    def seconds(costs: Costs) -> float:
        return costs.phases[name]

    return seconds


def _wrapped(phase: str, width: int = 18) -> str:
    lines = [""]
    for word in phase.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(filter(None, lines))


def _last_runs(result: Result) -> list[tuple[str, str, Run]]:
    return [(_LUMIBOT, "--lumibot", result.lumibot[-1]), (_DUCKDB, "--duckdb", result.duckdb[-1])]
