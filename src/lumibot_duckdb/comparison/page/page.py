"""Puts the report of a comparison together."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from lumibot_duckdb import clock
from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.comparison import Result
from lumibot_duckdb.comparison.outcome import Backtest
from lumibot_duckdb.comparison.page import plots
from lumibot_duckdb.comparison.page.costs import cost_table, figures
from lumibot_duckdb.comparison.page.differences import differences_section
from lumibot_duckdb.comparison.page.settings import settings_table
from lumibot_duckdb.comparison.page.statistics import statistics_section
from lumibot_duckdb.comparison.page.trades import trades_table
from lumibot_duckdb.pages.page import Plot, filled_in, whole_page

_BODY, _STYLE = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))
_MAX_BACKTESTS = 10
"""Backtests that are shown."""
_MAX_POINTS = 8_000
"""Points of all curves on the page. Plotly's code takes 1.3 MB; the limits keep the page below 2 MB."""
_MAX_TRADES = 600
"""Trades on the page."""


def report_page(result: Result) -> str:
    """Return the page. All text from the script is escaped."""
    backtests = result.paired
    shown = backtests[:_MAX_BACKTESTS]
    filled = {
        "title": escape(f"{result.script.name}, on Lumibot's storage and on lumibot-duckdb"),
        "subtitle": escape(_subtitle(result, len(backtests))),
        "mood": "good" if result.identical else "bad",
        "verdict": escape(summary.verdict(result)),
        "curves": "".join(_curves_section(number, theirs) for number, (theirs, _) in enumerate(shown)),
        "statistics": "".join(
            _section("Statistics", theirs, len(shown), statistics_section(theirs, ours) + settings_table(theirs, ours))
            for theirs, ours in shown
        ),
        "figures": figures(result),
        "costs": cost_table(result),
        "differences": differences_section(result),
        "trades": "".join(
            _section("Trades", theirs, len(shown), trades_table(theirs, ours, _MAX_TRADES // len(shown)))
            for theirs, ours in shown
        ),
        "notes": _notes([*summary.uncovered_notes(result), *result.notes, *_note_on_others(len(backtests))]),
        "footer": escape(_versions(result)),
    }
    body = filled_in(_BODY.read_text(encoding="utf-8"), filled)
    return whole_page(filled["title"], body, _plots(result, shown), style=_STYLE.read_text(encoding="utf-8"))


def _plots(result: Result, shown: Sequence[tuple[Backtest, Backtest]]) -> dict[str, Plot]:
    found = {"memory": plots.memory(result), "phases": plots.phases(result)}
    each = _MAX_POINTS // (5 * max(len(shown), 1))  # values and drawdowns of both sides, and a benchmark
    for number, (theirs, ours) in enumerate(shown):
        found[f"equity-{number}"] = plots.equity(theirs, ours, each)
        found[f"drawdown-{number}"] = plots.drawdown(theirs, ours, each)
    return found


def _subtitle(result: Result, count: int) -> str:
    runs = len(result.duckdb)
    return (
        f"{count:,} {'backtest' if count == 1 else 'backtests'}, "
        f"{'one run' if runs == 1 else f'{runs:,} runs'} on each side, {clock.utc_now().astimezone():%Y-%m-%d %H:%M %Z}"
    )


def _curves_section(number: int, backtest: Backtest) -> str:
    fills = summary.counted(len(backtest.fills), "fill", "fills")
    values = summary.counted(len(backtest.values.rows), *summary.KINDS["portfolio"])
    about = f"{backtest.source.rpartition('.')[2]}: {fills}, fees {backtest.fees:,.2f}, {values}"
    return (
        f'<section class="card"><h2>{escape(backtest.name)}</h2><p class="muted">{escape(about)}</p>'
        f'<div class="plot" data-plot="equity-{number}"></div>'
        f'<div class="plot low" data-plot="drawdown-{number}"></div></section>'
    )


def _section(title: str, backtest: Backtest, count: int, content: str) -> str:
    of = f" of {escape(backtest.name)}" if count > 1 else ""
    return f'<section class="card"><h2>{title}{of}</h2>{content}</section>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<section class="card"><h2>Notes</h2>{"".join(f"<p>{escape(note)}</p>" for note in notes)}</section>'


def _note_on_others(count: int) -> list[str]:
    if count <= _MAX_BACKTESTS:
        return []
    return [
        f"All {count:,} backtests were compared, but this page has curves, statistics and trades of the first "
        f"{_MAX_BACKTESTS} only. compare --json has the statistics of all."
    ]


def _versions(result: Result) -> str:
    return ", ".join(f"{name} {number}" for name, number in result.duckdb[0].outcome.versions.items())
