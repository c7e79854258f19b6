"""How the two sides of a comparison look on the page."""

from __future__ import annotations

from html import escape

LUMIBOT, DUCKDB = "Lumibot", "lumibot-duckdb"
NOTHING = "\N{EN DASH}"
"""Stands for a value that there is none of."""
COLORS = {LUMIBOT: "--lumibot", DUCKDB: "--duckdb"}


def dot(side: str) -> str:
    """Return a dot in the colour of a side."""
    return f'<span class="dot" style="background:var({COLORS[side]})"></span>'


def cut(text: str, length: int) -> str:
    """Return a text from a script for the page: escaped, and shortened if it is longer."""
    return escape(text if len(text) <= length else f"{text[:length]}…")
