"""Which ranges are requested from the broker: the gaps, and a few stored bars beside them, which are compared."""

from __future__ import annotations

from lumibot_duckdb.live.warm_up.stored_part import StoredPart
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges, missing
from lumibot_duckdb.storage.times import Int64Array

COMPARED_BARS = 3
"""How many stored bars are compared on each side of a gap."""


def gaps_with_neighbours(part: StoredPart, wanted: TimeRange, length: int) -> list[TimeRange]:
    """Return the gaps of a range, each extended over stored bars before and after it. `length` is that of a bar."""
    return [_extended(gap, part, length) for gap in missing(wanted, part.pieces)]


def newest_bars(part: StoredPart, length: int) -> TimeRange:
    """Return a range with the last stored bars."""
    return _end_of(_starts_in(part, part.pieces), TimeRange(part.pieces[0].start, part.pieces[-1].end), length)


def oldest_bars(part: StoredPart, length: int) -> TimeRange:
    """Return a range with the first stored bars."""
    return _begin_of(_starts_in(part, part.pieces), TimeRange(part.pieces[0].start, part.pieces[-1].end), length)


def _extended(gap: TimeRange, part: StoredPart, length: int) -> TimeRange:
    start, end = gap.start, gap.end
    for piece in part.pieces:
        if piece.end == gap.start:
            start = _end_of(_starts_in(part, [piece]), piece, length).start
        if piece.start == gap.end:
            end = _begin_of(_starts_in(part, [piece]), piece, length).end
    return TimeRange(start, end)


def _starts_in(part: StoredPart, pieces: list[TimeRange] | tuple[TimeRange, ...]) -> Int64Array:
    return part.starts[in_ranges(part.starts, pieces)]


# At least so many lengths of a bar, even if nothing was traded: symbols that were recorded together then have the same
# ranges, which a caller can request at once.


def _end_of(starts: Int64Array, piece: TimeRange, length: int) -> TimeRange:
    """Return the end of a piece, from one of its last bars on; nothing if it has none."""
    if not len(starts):
        return TimeRange(piece.end, piece.end)
    first = min(int(starts[-COMPARED_BARS:][0]), piece.end - COMPARED_BARS * length)
    return TimeRange(max(piece.start, first), piece.end)


def _begin_of(starts: Int64Array, piece: TimeRange, length: int) -> TimeRange:
    """Return the begin of a piece, up to one of its first bars; nothing if it has none."""
    if not len(starts):
        return TimeRange(piece.start, piece.start)
    end = max(int(starts[:COMPARED_BARS][-1]) + 1, piece.start + COMPARED_BARS * length)
    return TimeRange(piece.start, min(piece.end, end))
