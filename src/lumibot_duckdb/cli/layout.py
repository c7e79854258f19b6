"""Tables as commands print them, and what else they print: names, numbers and times."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from itertools import zip_longest

from lumibot_duckdb.display import count as count
from lumibot_duckdb.display import new_york as new_york
from lumibot_duckdb.display import printable as printable
from lumibot_duckdb.display import size as size

_NARROWEST = 8
_GAP = "  "


def terminal_width() -> int | None:
    """Return the width of the terminal on which this command prints; None if it prints to a file or another program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], width: int | None = None) -> str:
    """Return a table of texts. `right` states which columns are aligned to the right.

    A cell may have several lines. Other control characters become escapes, as in `printable`. With a `width`, the
    widest columns are cut ("…") until the table fits, but no column below eight characters.
    """
    cells = [[[printable(line) for line in cell.split("\n")] for cell in row] for row in [header, *rows]]
    widths = [max(len(line) for row in cells for line in row[column]) for column in range(len(header))]
    if width is not None:
        _narrow(widths, width - len(_GAP) * (len(widths) - 1))
    lines = []
    for number, row in enumerate(cells):
        for parts in zip_longest(*row, fillvalue=""):
            aligned = [_aligned(*cell) for cell in zip(parts, widths, right, strict=True)]
            lines.append(_GAP.join(aligned).rstrip())
        if number == 0:
            lines.append(_GAP.join("-" * column for column in widths))
    return "\n".join(lines)


def _narrow(widths: list[int], room: int) -> None:
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _aligned(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        return text[: width - 1] + "…"
    return text.rjust(width) if right else text.ljust(width)
