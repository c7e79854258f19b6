"""The options `--from` and `--until`, which choose a range of time.

The end may also be called `--to`, where that does not mean something else.
"""

from __future__ import annotations

import argparse
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, epoch_seconds, midnight

if TYPE_CHECKING:
    from lumibot_duckdb.storage.api import TimeRange

_ALWAYS = (-(2**62), 2**62)


def add_range(parser: argparse.ArgumentParser, verb: str, *, end: str = "--to") -> None:
    """Add the options; `verb` is what the command does with the range, as in "forget".

    `end` is "--until" where `--to` means something else; else both names are understood.
    """
    add = parser.add_argument
    completed_by(
        add("--from", dest="start", metavar="TIME", help=f"{verb} from this date or time on, which is included"),
        nothing,
    )
    until = add(
        *dict.fromkeys((end, "--until")),
        dest="end",
        metavar="TIME",
        help=f"{verb} up to this date, which is included, or up to this time, which is not",
    )
    completed_by(until, nothing)


def chosen_range(arguments: argparse.Namespace, *, end: str = "--to") -> TimeRange:
    """Return the range that the options choose, everything without them. Raises `CommandError`."""
    from lumibot_duckdb.storage.api import TimeRange

    start, until = arguments.start, arguments.end
    first = _ALWAYS[0] if start is None else chosen_moment(start, "--from")
    last = _ALWAYS[1] if until is None else chosen_moment(until, end, days_after=1)
    if last <= first:
        raise CommandError(f"{end} {until} is not after --from {start}")
    return TimeRange(first, last)


def chosen_moment(text: str, option: str, *, days_after: int = 0) -> int:
    """Return a time in epoch seconds, in New York unless it has a zone.

    A date stands for its first midnight, or for the one some days later.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        last = day > date.max - timedelta(days_after)
        return midnight(day, NEW_YORK) + SECONDS_PER_DAY if last else midnight(day + timedelta(days_after), NEW_YORK)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{option} {text or repr(text)}: write a date as 2024-01-31, or a time as '2024-01-31 09:30'"
        ) from None
    return epoch_seconds(moment if moment.tzinfo is not None else moment.replace(tzinfo=NEW_YORK))
