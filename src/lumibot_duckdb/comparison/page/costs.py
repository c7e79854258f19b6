"""What the two sides cost, as figures and as a table."""

from __future__ import annotations

from html import escape

from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.comparison import Result
from lumibot_duckdb.comparison.page.sides import DUCKDB, LUMIBOT, dot
from lumibot_duckdb.comparison.tables import ratio


def figures(result: Result) -> str:
    """Return the most important costs as HTML."""
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
        values = f"{dot(LUMIBOT)}{style.format(theirs)} &ensp; {dot(DUCKDB)}{style.format(ours)}"
        cards.append(
            f'<div class="figure"><div class="what">{what}</div><div class="ratio">{_times(times)}</div>'
            f'<div class="values muted">{values}</div></div>'
        )
    return "\n".join(cards)


def cost_table(result: Result) -> str:
    """Return all costs as an HTML table."""
    body = []
    for what, theirs, ours, times in summary.costs_of(result):
        part = ' class="part"' if what.startswith("- ") else ""
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in (theirs, ours, _times(times)))
        body.append(f"<tr{part}><td>{escape(what.removeprefix('- '))}</td>{numbers}</tr>")
    head = f'<th></th><th class="number">{LUMIBOT}</th><th class="number">{DUCKDB}</th><th class="number"></th>'
    medians = "<p class=muted>Medians of all runs.</p>" if len(result.duckdb) > 1 else ""
    return (
        f'{medians}<div class="scroll"><table class="costs"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _times(text: str) -> str:
    return text.replace(" x ", " &times; ")
