"""How what two sides cost is laid out beside each other, as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate


def ratio(lumibot: float, duckdb: float) -> str:
    """Say how many times less the second is, or how many times more when it is."""
    if duckdb <= 0 or lumibot <= 0:
        return ""
    times, word = (lumibot / duckdb, "less") if lumibot >= duckdb else (duckdb / lumibot, "more")
    return "about the same" if times < 1.05 else f"{times:,.{1 if times < 10 else 0}f} x {word}"


def cost_row(what: str, lumibot: float, duckdb: float, style: str) -> list[str]:
    """Return a row of a table: both numbers in a format such as ",.1f", and their ratio."""
    return [what, format(lumibot, style), format(duckdb, style), ratio(lumibot, duckdb)]


def side_by_side(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    """Return a table whose first column is words and whose others are numbers."""
    alignment = ["left", *["right"] * (len(headers) - 1)]
    text = tabulate(rows, headers=headers, tablefmt="simple", colalign=alignment, disable_numparse=True)
    return indented(text)


def indented(text: str) -> str:
    """Return a text two characters to the right."""
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
