"""Arithmetic on covered time ranges. Pure: no database, no clock.

A range is covered once it was requested and the response has arrived. What a response does not prove is covered
provisionally, until a time. All ranges are half-open, in epoch seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.timeframes import bar_seconds, is_of_days
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, UTC, date_of, epoch_seconds, midnight

if TYPE_CHECKING:
    import numpy as np

    from lumibot_duckdb.storage.times import Int64Array

Covered: TypeAlias = "tuple[TimeRange, datetime | None]"
"""A covered range and when it expires (UTC); None if it is proven."""

# A provider without data for the last days may be late, or down. For older days, an empty response is requested again
# once, since providers do backfill.
RECENT = timedelta(days=7)
BELIEVE_RECENT_EMPTY = timedelta(hours=24)
BELIEVE_OLD_EMPTY = timedelta(days=30)

CLOCK_CHANGE = 3_600
LARGEST_GRID = 1800
"""Intraday bars start on multiples of their length, or, from 30 minutes up, on any half hour: sessions open at 9:30."""


def merged(ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the union of the ranges: sorted, without overlaps, touching ranges joined, empty ones left out."""
    result: list[TimeRange] = []
    for piece in sorted((r for r in ranges if r.start < r.end), key=lambda r: r.start):
        if result and piece.start <= result[-1].end:
            result[-1] = TimeRange(result[-1].start, max(result[-1].end, piece.end))
        else:
            result.append(piece)
    return result


def missing(wanted: TimeRange, covered: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the parts of `wanted` that are in none of the covered ranges, sorted."""
    gaps: list[TimeRange] = []
    start = wanted.start
    for piece in merged(covered):
        if piece.end <= start:
            continue
        if piece.start >= wanted.end:
            break
        if piece.start > start:
            gaps.append(TimeRange(start, piece.start))
        start = piece.end
    if start < wanted.end:
        gaps.append(TimeRange(start, wanted.end))
    return gaps


def common(ranges: Iterable[TimeRange], others: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the intersection of two unions of ranges, sorted."""
    others = merged(others)
    return [
        TimeRange(start, end)
        for piece in merged(ranges)
        for other in others
        if (start := max(piece.start, other.start)) < (end := min(piece.end, other.end))
    ]


def in_ranges(starts: Int64Array, ranges: Iterable[TimeRange]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which times are in any of the ranges."""
    import numpy as np

    inside = np.zeros(len(starts), dtype=bool)
    for piece in ranges:
        inside |= (starts >= piece.start) & (starts < piece.end)
    return inside


def closed_part(
    covered: TimeRange, timeframe: str, now: EpochSeconds, starts: Int64Array | None = None
) -> TimeRange | None:
    """Return the part of a range in which every bar has closed by `now`; None if there is none.

    `starts` are as for `end_of_closed_bars`.
    """
    end = min(covered.end, end_of_closed_bars(timeframe, now, starts))
    return TimeRange(covered.start, end) if covered.start < end else None


def end_of_closed_bars(timeframe: str, now: EpochSeconds, starts: Int64Array | None = None) -> EpochSeconds:
    """Return a time such that every bar that starts before it has closed by `now`.

    Bars of days and longer start at midnight, in UTC or in New York: the earlier of the two is safe for both. Known
    bars (`starts`) need not start where those of their length usually do: an hour may begin at a quarter past, and
    Alpaca's days of coins begin at midnight in Chicago. Days may have 25 hours, except those of UTC.
    """
    length = bar_seconds(timeframe)
    if length < SECONDS_PER_DAY:
        grid = min(length, LARGEST_GRID)
        end = (now - length) // grid * grid + grid
    else:
        since_first = timedelta(days=length // SECONDS_PER_DAY - 1)
        end = min(midnight(date_of(now, zone) - since_first, zone) for zone in (UTC, NEW_YORK))
    if starts is None or not len(starts):
        return end
    longest = length + CLOCK_CHANGE * (is_of_days(timeframe) & (starts % SECONDS_PER_DAY != 0))
    return int(starts[starts + longest > now].min(initial=end))


def believed_until(covered: TimeRange, now: datetime) -> datetime:
    """Return until when a response without bars in a range, received `now`, is believed."""
    return now + (BELIEVE_RECENT_EMPTY if covered.end > _recent_since(now) else BELIEVE_OLD_EMPTY)


def _recent_since(now: datetime) -> EpochSeconds:
    """Return the midnight (UTC) since which a range counts as recent."""
    return epoch_seconds(now - RECENT) // SECONDS_PER_DAY * SECONDS_PER_DAY


def newly_covered(
    known: Iterable[Covered],
    proven: Iterable[TimeRange],
    provisional: Iterable[TimeRange],
    *,
    asked_at: datetime,
    now: datetime,
) -> list[Covered]:
    """Return what a response adds to the coverage of a series.

    A provisional range becomes permanent if an earlier response had left it open, too, and had expired by `asked_at`.
    One that an earlier response still covers stays unchanged.

    Parameters:
        known: all recorded ranges, the expired ones included.
        proven: the ranges that the response proves.
        provisional: the ranges that it covers without proving them.
        asked_at: when it was requested (UTC).
        now: when it is stored (UTC).
    """
    known, proven = list(known), list(proven)
    lasting = merged(piece for piece, until in known if until is None)
    expired = merged(piece for piece, until in known if until is not None and until <= asked_at)
    waiting = merged(piece for piece, until in known if until is not None and until > max(asked_at, now))
    added: list[Covered] = [(piece, None) for piece in proven if missing(piece, lasting)]
    for piece in merged(provisional):
        unproven = missing(piece, [*lasting, *proven])
        added += [(confirmed, None) for confirmed in common(unproven, expired)]
        for gap in unproven:
            for new in missing(gap, [*expired, *waiting]):
                added += [(part, believed_until(part, asked_at)) for part in _split(new, _recent_since(asked_at))]
    return added


def not_covered_yet(known: Iterable[Covered], ranges: Iterable[Covered]) -> list[Covered]:
    """Return the parts of covered ranges of another store that are not covered as long by what is `known` here."""
    known = list(known)
    added: list[Covered] = []
    for piece, until in ranges:
        longer = [here for here, kept in known if kept is None or (until is not None and kept >= until)]
        gaps = missing(piece, longer)
        added += [(piece, None)] if until is None and gaps else [(gap, until) for gap in gaps if until is not None]
    return added


def _split(piece: TimeRange, at: EpochSeconds) -> list[TimeRange]:
    if not piece.start < at < piece.end:
        return [piece]
    return [TimeRange(piece.start, at), TimeRange(at, piece.end)]


def provisional_parts(known: Iterable[Covered]) -> list[tuple[TimeRange, datetime]]:
    """Return the parts of covered ranges that are not proven, and when they expire, sorted."""
    known = list(known)
    lasting = merged(piece for piece, until in known if until is None)
    parts = [(gap, until) for piece, until in known if until is not None for gap in missing(piece, lasting)]
    return sorted(parts, key=lambda part: (part[0].start, part[0].end, part[1]))
