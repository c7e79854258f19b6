"""Names, numbers and times as people read them, in the output of commands and on pages."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNITS = ("KB", "MB", "GB", "TB")


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
