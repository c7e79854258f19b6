"""Verification on the status page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from lumibot_duckdb.display import new_york, printable

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.findings import Finding, FoundBar, VerificationReport

MOST_FINDINGS = 500
_SEVERITIES = {"error": "error", "warning": "warning", "info": "note"}  # the words of the command `verify`
_COLUMNS = ("severity", "check", "series", "what", "bars", "repair")


def verification_section(report: VerificationReport | None) -> str:
    """Return the findings as HTML; None if the store was not verified."""
    if report is None:
        return (
            '<p class="muted">Not run. <code>status --html FILE --verify</code> reads and checks the whole store.</p>'
        )
    checked = f"{report.series:,} series with {report.rows:,} bars were read and checked"
    if report.unreadable:
        checked = f"Not everything can be read, so nothing else was checked of {report.series:,} series"
    if not report.findings:
        return f"<p>{checked}. Nothing was found.</p>"
    shown = report.findings[:MOST_FINDINGS]
    more = "" if len(shown) == len(report.findings) else f" The first {len(shown):,} are listed."
    return f"<p>{checked}. Findings: {len(report.findings):,}.{more}</p>{_table(shown)}"


def _table(findings: Sequence[Finding]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(
        f'<tr class="{"damage" if finding.damage else "remark"}">'
        + "".join(f'<td data-of="{name}">{cell}</td>' for name, cell in zip(_COLUMNS, _cells(finding), strict=True))
        + "</tr>"
        for finding in findings
    )
    return (
        f'<div class="scroll"><table class="stacked findings"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(finding: Finding) -> list[str]:
    series = "" if finding.series is None else printable(finding.series.label())
    texts = [_SEVERITIES[finding.severity], finding.check, series, printable(finding.what)]
    return [*map(escape, texts), _bars(finding), escape(finding.repair)]


def _bars(finding: Finding) -> str:
    lines = [escape(_bar(bar)) for bar in finding.bars]
    if finding.count > len(finding.bars) > 0:
        lines.append(f"and more: {finding.count:,} in all")
    return "<br>".join(lines)


def _bar(bar: FoundBar) -> str:
    text = new_york(bar.start) if bar.end is None else f"{new_york(bar.start)} to {new_york(bar.end)}"
    return printable(f"{text}: {bar.note}" if bar.note else text)
