"""Arithmetic on covered time ranges. Pure: no database, no clock.

A range is covered once it was requested and the response has arrived. All ranges are half-open, in epoch seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, date_of, epoch_seconds, midnight

# A provider without data for the last days may be late, or down. For older days, an empty response is requested again
# now and then, since providers do backfill.
RECENT = timedelta(days=7)
BELIEVE_RECENT_EMPTY = timedelta(hours=24)
BELIEVE_OLD_EMPTY = timedelta(days=30)

# Intraday bars start on multiples of their length, or, from 30 minutes up, on any half hour (sessions open at 9:30).
_LARGEST_GRID = 1800


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


def closed_part(covered: TimeRange, timeframe: str, now: EpochSeconds) -> TimeRange | None:
    """Return the part of a range in which every bar has closed by `now`; None if there is none."""
    end = min(covered.end, end_of_closed_bars(timeframe, now))
    return TimeRange(covered.start, end) if covered.start < end else None


def end_of_closed_bars(timeframe: str, now: EpochSeconds) -> EpochSeconds:
    """Return a time such that every bar that starts before it has closed by `now`.

    Bars of days and longer start at midnight, in UTC or in New York: the earlier of the two is safe for both.
    """
    length = bar_seconds(timeframe)
    if length < SECONDS_PER_DAY:
        grid = min(length, _LARGEST_GRID)
        return (now - length) // grid * grid + grid
    latest = now - length + SECONDS_PER_DAY
    return min(latest // SECONDS_PER_DAY * SECONDS_PER_DAY, midnight(date_of(latest, NEW_YORK), NEW_YORK))


def believed_until(covered: TimeRange, now: datetime) -> datetime:
    """Return until when an empty response for a range, received `now`, is believed."""
    recent = covered.end > epoch_seconds(now - RECENT)
    return now + (BELIEVE_RECENT_EMPTY if recent else BELIEVE_OLD_EMPTY)
