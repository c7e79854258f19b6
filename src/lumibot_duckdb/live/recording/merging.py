"""Unites what came for one series in succession, so that a batch has few writes, which do what all would have done.

Bars are united if one write can store them exactly: with the same columns, dtypes and metadata, in the order in which
they came. The later one of two bars of the same time is stored.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recorded import RECORDED_LIVE
from lumibot_duckdb.live.recording.losses import span
from lumibot_duckdb.storage.api import BatchWrite, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges, merged, missing
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.times import bar_starts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class MergedWrite:
    """A write, and how many bars were recorded for it: more than it has if some came twice."""

    write: BatchWrite
    bars: int

    @property
    def key(self) -> SeriesKey:
        """The series."""
        return self.write.key

    @property
    def span(self) -> TimeRange | None:
        """From the first to the last time that is covered."""
        return span(self.write.covered)


@dataclass(slots=True)
class _Piece:
    """Bars of one response, and what they cover; of a correction, in one range."""

    bars: pd.DataFrame
    covered: tuple[TimeRange, ...]
    proves: bool
    asked_at: datetime


@dataclass(slots=True)
class _Group:
    """Pieces that are stored by one write."""

    key: SeriesKey
    replace: bool
    metadata: Mapping[str, Any]
    form: Hashable = None  # of the frames; None if all are empty
    pieces: list[_Piece] = field(default_factory=list)
    recorded: int = 0  # bars, those that later pieces replace included

    def takes(self, other: LiveBars, piece: _Piece, form: Hashable) -> bool:
        """Return whether a piece of another item can be stored by the same write."""
        if (self.replace, self.metadata) != (other.replace, other.metadata):
            return False
        if None not in (self.form, form) and self.form != form:
            return False
        return not self.replace or len(merged([*self.covered(), *piece.covered])) == 1

    def add(self, piece: _Piece, form: Hashable) -> None:
        if self.replace:  # what the earlier pieces have in its range is replaced
            for earlier in self.pieces:
                earlier.bars = earlier.bars[~in_ranges(bar_starts(earlier.bars), piece.covered)]
        self.pieces.append(piece)
        self.recorded += len(piece.bars)
        self.form = form if self.form is None else self.form

    def covered(self) -> list[TimeRange]:
        return merged(part for piece in self.pieces for part in piece.covered)

    def write(self) -> MergedWrite:
        """Return the one write that does what the pieces would do one after the other."""
        proven = merged(part for piece in self.pieces if piece.proves for part in piece.covered)
        unproven = [part for piece in self.pieces if not piece.proves for part in piece.covered]
        write = BatchWrite(
            key=self.key,
            bars=_united([piece.bars for piece in self.pieces]),
            covered=tuple(self.covered()),
            asked_at=min(piece.asked_at for piece in self.pieces),
            closed_at=max(piece.asked_at for piece in self.pieces),
            provisional=tuple(part for piece in merged(unproven) for part in missing(piece, proven)),
            replace=self.replace,
            metadata={**self.metadata, RECORDED_LIVE: True},
        )
        return MergedWrite(write, self.recorded)


def merged_writes(items: Iterable[LiveBars]) -> list[list[MergedWrite]]:
    """Return the writes of items, in rounds that follow each other: each has one write to a series at most.

    The bars of the items have closed, and come in the order in which they were recorded. Raises `InvalidBarsError` for
    a correction with bars outside of the ranges that it replaces.
    """
    groups: dict[SeriesKey, list[_Group]] = {}
    for item in items:
        form = _form(item.bars)
        for piece in _pieces(item):
            of_series = groups.setdefault(item.key, [])
            if not of_series or not of_series[-1].takes(item, piece, form):
                of_series.append(_Group(item.key, item.replace, item.metadata))
            of_series[-1].add(piece, form)
    writes = [[group.write() for group in of_series] for of_series in groups.values()]
    return [[write for write in each if write is not None] for each in zip_longest(*writes)]


def _pieces(item: LiveBars) -> list[_Piece]:
    if not item.replace:
        # As for every write, an empty response proves nothing.
        return [_Piece(item.bars, item.covered, len(item.bars) > 0, item.asked_at)]
    ranges, starts = merged(item.covered), bar_starts(item.bars)
    if not in_ranges(starts, ranges).all():
        raise InvalidBarsError(
            f"{item.key.label()}: a correction has bars outside of the ranges that it replaces; cover them as well"
        )
    return [_Piece(item.bars[in_ranges(starts, [part])], (part,), True, item.asked_at) for part in ranges]


def _form(bars: pd.DataFrame) -> Hashable:
    """Return what frames must have in common to be united without changing a value; None for an empty frame.

    Frames with repeated times are refused by the store, and columns of objects may mark missing values differently:
    they have nothing in common with others.
    """
    if not len(bars):
        return None
    dtypes = tuple(bars.dtypes)
    if not bars.index.is_unique or any(dtype.kind == "O" for dtype in dtypes):
        return object()
    return tuple(bars.columns), dtypes, bars.index.dtype


def _united(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return frames of one form as one, with the later one of two bars of the same time."""
    import pandas as pd

    filled = [frame for frame in frames if len(frame)]
    if len(filled) < 2:
        return filled[0] if filled else frames[0]
    united = pd.concat(filled)
    newest: pd.DataFrame = united.loc[~united.index.duplicated(keep="last")]
    return newest
