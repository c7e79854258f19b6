"""The part of a range of bars that the store has for certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.coverage import common, in_ranges, missing
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import Int64Array, bar_starts

if TYPE_CHECKING:
    import pandas as pd

MOST_GAPS = 3
"""How many gaps there may be at most: each is a request."""

_FEWEST_BARS = 10  # a shorter piece saves nothing, since bars beside a gap are requested anyway
_IMPORTED = "migrated_from"
"""Metadata key of a write with bars from Lumibot's old caches, which may have rounded them."""


@dataclass(frozen=True)
class StoredPart:
    """Stored bars, and the ranges of bar starts that they cover: sorted, without overlaps, each with bars or without.

    Parameters:
        pieces: the ranges.
        bars: all bars in them, as the storage returns them.
        starts: the starts of the bars.
        version_id: the version that they belong to.
    """

    pieces: tuple[TimeRange, ...]
    bars: pd.DataFrame
    starts: Int64Array
    version_id: int


def stored_part(storage: DataStorageInterface, key: SeriesKey, wanted: TimeRange, settled: int) -> StoredPart | None:
    """Return what the store has of a range; None if that is nothing worth using.

    Only ranges count that a response has proven, with bars that were downloaded or recorded, and that start before
    `settled`.
    """
    covered = storage.coverage(key, permanent_only=True)
    try:
        pin = storage.pin(key)
    except SeriesNotFoundError:
        return None
    before = TimeRange(wanted.start, max(wanted.start, min(wanted.end, settled)))
    covered = common(covered, [before])
    pieces = _worthwhile(_as_downloaded(storage, pin, covered), wanted, bar_seconds(key.timeframe))
    if not pieces:
        return None
    bars = storage.read_pandas(pin, TimeRange(pieces[0].start, pieces[-1].end))
    if storage.pin(key).version_id != pin.version_id or _is_missing(storage, key, pieces):
        return None  # restated, or forgotten, in the meantime
    starts = bar_starts(bars)
    inside = in_ranges(starts, pieces)
    return StoredPart(tuple(pieces), bars[inside], starts[inside], pin.version_id)


def _is_missing(storage: DataStorageInterface, key: SeriesKey, pieces: Iterable[TimeRange]) -> bool:
    """Return whether some range is not covered for certain."""
    covered = storage.coverage(key, permanent_only=True)
    return any(missing(piece, covered) for piece in pieces)


def _as_downloaded(storage: DataStorageInterface, pin: SeriesPin, pieces: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the pieces without bars that were imported from an old cache."""
    return [piece for piece in pieces if not storage.ingests(pin, [piece], having=_IMPORTED)]


def _worthwhile(pieces: Sequence[TimeRange], wanted: TimeRange, length: int) -> list[TimeRange]:
    """Return the longest pieces, such that there are few gaps between them."""
    kept = [piece for piece in pieces if piece.end - piece.start >= _FEWEST_BARS * length]
    while len(missing(wanted, kept)) > MOST_GAPS:
        kept.remove(min(kept, key=lambda piece: piece.end - piece.start))
    return kept
