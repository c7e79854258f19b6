"""Tables, names, numbers and times as commands print them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

_NARROWEST = 8
_GAP = "  "
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNITS = ("KB", "MB", "GB", "TB")


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


def printable(text: str) -> str:
    """Return a text with escapes for control characters and surrogates, so that a name cannot move the cursor."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: "1 file", "1,200 files"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def new_york(seconds: int | None) -> str:
    """Return an instant as date and time in New York to the minute, only the date at midnight, "" for None."""
    from lumibot_duckdb.storage.times import NEW_YORK, moment_of  # here, since a query needs no time zones

    if seconds is None:
        return ""
    there = moment_of(seconds, NEW_YORK)
    if there.second:
        return f"{there:%Y-%m-%d %H:%M:%S}"
    return f"{there:%Y-%m-%d %H:%M}" if there.hour or there.minute else f"{there:%Y-%m-%d}"


def size(number: int) -> str:
    """Return a number of bytes in a suitable unit: "512 bytes", "3.4 MB"."""
    if number < 1000:
        return count(number, "byte")
    power = min((len(str(number)) - 1) // 3, len(_UNITS))
    return f"{number / 1000**power:.1f} {_UNITS[power - 1]}"


def _narrow(widths: list[int], room: int) -> None:
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _aligned(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        return text[: width - 1] + "…"
    return text.rjust(width) if right else text.ljust(width)
