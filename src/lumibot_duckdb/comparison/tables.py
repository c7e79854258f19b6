"""Plain-text tables of what the two sides cost."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate


def ratio(lumibot: float, duckdb: float) -> str:
    """Return how many times less (or more) the second is, such as "3.1 x less"."""
    if duckdb <= 0 or lumibot <= 0:
        return ""
    times, word = (lumibot / duckdb, "less") if lumibot >= duckdb else (duckdb / lumibot, "more")
    return "about the same" if times < 1.05 else f"{times:,.{1 if times < 10 else 0}f} x {word}"


def cost_row(what: str, lumibot: float, duckdb: float, style: str) -> list[str]:
    """Return a row of a table: both numbers in a format such as ",.1f", and their ratio."""
    return [what, format(lumibot, style), format(duckdb, style), ratio(lumibot, duckdb)]


def side_by_side(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    """Return a table whose first column is text and whose other columns are numbers."""
    alignment = ["left", *["right"] * (len(headers) - 1)]
    text = tabulate(rows, headers=headers, tablefmt="simple", colalign=alignment, disable_numparse=True)
    return indented(text)


def indented(text: str) -> str:
    """Return a text indented by two spaces."""
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
