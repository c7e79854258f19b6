"""The trials that did not complete, by reason."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from lumibot_duckdb.display import printable

if TYPE_CHECKING:
    import pandas as pd

_MEANING = {
    "failed": "error of the script",
    "timeout": "took too long",
    "memory": "needed too much memory",
    "crashed": "its process ended",
    "pruned": "stopped early, since it was worse than others",
}
_MOST = 50
"""Reasons that are listed."""
_NUMBERS = 12
"""Trials that are named for each reason."""
_LONGEST = 500


def failures_section(trials: pd.DataFrame) -> str:
    """Return the trials that did not complete as HTML, the most frequent reason first."""
    other = trials[trials["status"] != "complete"]
    if other.empty:
        return ""
    reasons: dict[tuple[str, str], list[int]] = {}
    for number, status, error in zip(other.index, other["status"], other["error"], strict=True):
        text = error if isinstance(error, str) else ""
        reasons.setdefault((str(status), text), []).append(int(number))
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    rows = "".join(_row(status, error, numbers) for (status, error), numbers in ordered[:_MOST])
    more = (
        f'<p class="muted">The {_MOST} most frequent of {len(ordered):,} reasons.</p>' if len(ordered) > _MOST else ""
    )
    return (
        f'<section class="card" id="failures"><h2>Trials that did not complete: {len(other):,}</h2>{more}'
        '<table class="stacked failures"><thead><tr><th class="number">trials</th><th>how they ended</th>'
        f"<th>reason</th><th>which</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _row(status: str, error: str, numbers: list[int]) -> str:
    named = ", ".join(map(str, numbers[:_NUMBERS])) + (" …" if len(numbers) > _NUMBERS else "")
    meaning = f"{status}: {_MEANING[status]}" if status in _MEANING else status
    reason = printable(error)
    reason = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
    return (
        f'<tr><td class="number" data-of="trials">{len(numbers):,}</td>'
        f'<td data-of="how they ended">{escape(printable(meaning))}</td>'
        f'<td class="value" data-of="reason">{escape(reason)}</td><td data-of="which">{named}</td></tr>'
    )
