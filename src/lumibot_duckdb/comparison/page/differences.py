"""The differences of a comparison, grouped by their causes: one line for each, which can be unfolded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.comparison import Result
from lumibot_duckdb.comparison.differences import Cause, Difference
from lumibot_duckdb.comparison.page.sides import DUCKDB, LUMIBOT, cut

_LONGEST = 200
"""Characters of a text that are shown."""
_MOST_CAUSES = 50
_MOST_ROWS = 120
"""Differences on the page."""


def differences_section(result: Result) -> str:
    """Return the section as HTML."""
    comparison = result.comparison
    causes = [_cause(cause, rows) for cause, rows in _with_rows(comparison.causes[:_MOST_CAUSES])]
    runs = [_differing_run(result, number) for number in range(len(result.differing_runs))]
    if not causes and not runs:
        text = f"None in {summary.compared(comparison)}." if result.compared else "Nothing was compared."
        return f'<section class="card"><h2>Differences</h2><p>{escape(text)}</p></section>'
    about = "".join(f"<p class=muted>{escape(line)}</p>" for line in _about(result))
    return f'<section class="card"><h2>Differences</h2>{about}{"".join(causes)}{"".join(runs)}</section>'


def _about(result: Result) -> list[str]:
    comparison = result.comparison
    lines = [summary.listed(comparison)] if comparison.differences else []
    if len(comparison.causes) > _MOST_CAUSES:
        lines.append(f"The first {_MOST_CAUSES} of {len(comparison.causes):,} causes are shown.")
    return list(filter(None, lines))


def _with_rows(causes: Sequence[Cause]) -> list[tuple[Cause, list[Difference]]]:
    """Return each cause with the differences that are shown of it: the first ones, so that all causes have some."""
    share = max(_MOST_ROWS // max(len(causes), 1), 1)
    return [(cause, cause.differences[:share]) for cause in causes]


def _cause(cause: Cause, rows: Sequence[Difference]) -> str:
    first = cause.first
    example = (
        f'<p class="place">{cut(", ".join(filter(None, [first.when, first.place])), _LONGEST)}<br>'
        f'<span class="value">{LUMIBOT} {cut(first.left, _LONGEST)}<br>{DUCKDB} {cut(first.right, _LONGEST)}</span></p>'
    )
    more = len(cause.differences) - len(rows)
    left_out = f"<p class=muted>and {more:,} more</p>" if more else ""
    return (
        f'<details class="cause"><summary><b>{cut(summary.cause_title(cause), _LONGEST)}</b> '
        f'<span class="muted">{escape(summary.cause_counts(cause))}</span>{example}</summary>'
        f"{_table([(row, (LUMIBOT, DUCKDB)) for row in rows])}{left_out}</details>"
    )


def _differing_run(result: Result, number: int) -> str:
    run = result.differing_runs[number]
    side = LUMIBOT if run.side == "lumibot" else DUCKDB
    table = _table([(run.difference, (f"{side}, run 1", f"{side}, run {run.number}"))])
    return (
        f'<details class="cause"><summary><b>Run {run.number} on {side} differs from its own first run</b></summary>'
        f"{table}</details>"
    )


def _table(rows: Sequence[tuple[Difference, tuple[str, str]]]) -> str:
    body = []
    for difference, sides in rows:
        what = summary.KINDS[difference.kind][0]
        cells = [
            f"<td>{cut(difference.when or '·', 60)}</td>",
            f'<td class="place"><b>{cut(difference.subject, 80)}</b> {cut(difference.place, _LONGEST)} '
            f'<span class="muted">({escape(what)}, {cut(difference.backtest, 80)})</span></td>',
            *(
                f'<td class="value" data-of="{escape(side)}">{cut(value, _LONGEST)}</td>'
                for side, value in zip(sides, (difference.left, difference.right), strict=True)
            ),
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    names = rows[0][1] if rows else (LUMIBOT, DUCKDB)
    head = "".join(f"<th>{name}</th>" for name in ("time in the backtest", "where", *names))
    return (
        f'<div class="scroll"><table class="differences"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
