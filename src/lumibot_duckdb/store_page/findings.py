"""Verification on the status page. A finding is shown with all fields that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.verification import VerificationReport

MOST_FINDINGS = 500


def verification_section(report: VerificationReport | None) -> str:
    """Return the findings as HTML; None if the store was not verified."""
    if report is None:
        return (
            '<p class="muted">Not run. <code>status --html FILE --verify</code> reads and checks the whole store.</p>'
        )
    checked = f"{report.series:,} series with {report.rows:,} bars were read and checked"
    if not report.findings:
        return f"<p>{checked}. Nothing was found.</p>"
    shown = report.findings[:MOST_FINDINGS]
    more = "" if len(shown) == len(report.findings) else f" The first {len(shown):,} are listed."
    return f"<p>{checked}. Findings: {len(report.findings):,}.{more}</p>{_table(shown)}"


def _table(findings: Sequence[Any]) -> str:
    rows = [_texts(finding) for finding in findings]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        f'<tr class="{"damage" if finding.damage else "remark"}">'
        + "".join(f'<td data-of="{escape(name)}">{escape(row.get(name, ""))}</td>' for name in columns)
        + "</tr>"
        for finding, row in zip(findings, rows, strict=True)
    )
    return (
        f'<div class="scroll"><table class="stacked findings"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _texts(finding: Any) -> dict[str, str]:
    """Return the fields of a finding as texts; those that are empty in it are left out."""
    texts = {"severity": "damage" if finding.damage else "remark"}
    for each in fields(finding):
        value = getattr(finding, each.name)
        if each.name != "damage" and value not in (None, "", (), [], {}):
            texts[each.name] = _text(value)
    return texts


def _text(value: Any) -> str:
    if hasattr(value, "label"):
        return str(value.label())
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)
