"""Stores series that the store does not have: their bars with the writes that brought them, and their coverage.

For a short series, a statement takes longer than its bars, so each statement is for many series. Everything here runs
inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesKey, WriteResult
from lumibot_duckdb.storage.bars.bar_rows import insert_pieces
from lumibot_duckdb.storage.bars.checksums import Checksums, SegmentSums, add_checksums, segment_days, sums_of
from lumibot_duckdb.storage.bars.coverage import Covered
from lumibot_duckdb.storage.bars.coverage_records import add_coverage
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.outline_upkeep import outline_version
from lumibot_duckdb.storage.bars.row_inserts import insert_rows
from lumibot_duckdb.storage.bars.series_records import Ingest, create_series, layout_ids, record_ingests
from lumibot_duckdb.storage.bars.version_state import VersionState
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import Int64Array, naive_utc

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars

_REQUESTS = pa.schema([("ingest_id", pa.int32()), ("requested_at", pa.timestamp("us"))])
_FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class NewWrite:
    """A write to record: its kind, its metadata as JSON, and when it was requested (UTC; None: now)."""

    kind: str
    metadata: str | None
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A series to store.

    Attributes:
        key: the series.
        layout: the layout of its bars; missing values in them are added.
        writes: the writes that it has, at least one.
        pieces: its bars in the order of their times, each with the number of the write that brought it. They are read
            once, while they are stored.
        coverage: what is covered.
        created_at: when it was created (naive UTC; None: now).
    """

    key: SeriesKey
    layout: Layout
    writes: Sequence[NewWrite]
    pieces: Iterable[tuple[InputBars, Int64Array]]
    coverage: Sequence[Covered]
    created_at: datetime | None = None


def store_new_series(
    cursor: StoreCursor, series: Sequence[NewSeries], first_id: int, now: datetime
) -> list[WriteResult]:
    """Store series. What their pieces raise is raised.

    The ids from `first_id` on, one per write, and `now` (naive UTC) are above those of all earlier writes.
    """
    if not series:
        return []
    storing = []
    for new in series:
        storing.append(_Storing(new, first_id))
        first_id += len(new.writes)
    create_series(cursor, [(each.new.key, each.first_id, each.new.created_at or now) for each in storing], now)
    insert_pieces(cursor, [new.layout for new in series], (piece for each in storing for piece in each.pieces()))
    add_checksums(cursor, {each.first_id: each.checksums for each in storing})
    layouts = layout_ids(cursor, [(each.layout, each.first_id) for each in storing])
    written = [(each, each.states(layouts[each.layout])) for each in storing]
    record_ingests(cursor, [record for each, states in written for record in each.records(states)], now)
    insert_rows(cursor, "ingest_request", _REQUESTS, [row for each in storing for row in each.requests()])
    add_coverage(cursor, [(each.first_id, each.last_id, *covered) for each in storing for covered in each.new.coverage])
    for each, states in written:
        outline_version(cursor, each.new.key, states[-1])
    return [
        WriteResult(each.new.key, each.last_id, added=states[-1].rows, version_id=each.first_id)
        for each, states in written
    ]


class _Storing:
    """A series while it is stored. Its id, and that of its version, is that of its first write."""

    def __init__(self, new: NewSeries, first_id: int) -> None:
        self.new = new
        self.first_id = first_id
        self.last_id = first_id + len(new.writes) - 1
        self.layout = new.layout
        self.checksums: Checksums = {}
        self._rows = np.zeros(len(new.writes), np.int64)
        self._first = np.full(len(new.writes), _FOREVER)
        self._last = np.full(len(new.writes), -_FOREVER)
        self._on_minute = np.ones(len(new.writes), bool)

    def pieces(self) -> Iterator[tuple[int, InputBars, Int64Array]]:
        """Yield the version, bars and the ids of their writes."""
        for bars, numbers in self.new.pieces:
            self._note(bars, numbers)
            yield self.first_id, bars, self.first_id + numbers

    def _note(self, bars: InputBars, numbers: Int64Array) -> None:
        self.layout = _joined(self.layout, bars.layout)
        np.add.at(self._rows, numbers, 1)
        np.minimum.at(self._first, numbers, bars.times)
        np.maximum.at(self._last, numbers, bars.times)
        np.logical_and.at(self._on_minute, numbers, bars.times % 60 == 0)
        columns = {"ingest_id": pa.array(self.first_id + numbers), **bars.physical()}
        for segment, sums in sums_of(bars.times, columns, segment_days(self.new.key.timeframe)).items():
            self.checksums.setdefault(segment, SegmentSums()).add(sums.bars, sums.sums)

    def states(self, layout_id: int) -> list[VersionState]:
        """Return the state of the version after each write."""
        rows, facts = (
            np.cumsum(self._rows).tolist(),
            (
                np.minimum.accumulate(self._first).tolist(),
                np.maximum.accumulate(self._last).tolist(),
                np.logical_and.accumulate(self._on_minute).tolist(),
            ),
        )
        return [
            VersionState(
                self.first_id,
                self.first_id,
                self.first_id + number,
                layout_id,
                self.layout,
                so_far,
                first if so_far else None,
                last if so_far else None,
                on_minute,
            )
            for number, (so_far, first, last, on_minute) in enumerate(zip(rows, *facts, strict=True))
        ]

    def records(self, states: Sequence[VersionState]) -> Iterator[Ingest]:
        """Yield the records of the writes, given the states after them."""
        for write, added, after in zip(self.new.writes, self._rows.tolist(), states, strict=True):
            result = WriteResult(self.new.key, None, added=added)
            yield Ingest(after.ingest_id, write.kind, result, after, after.layout_id, write.metadata)

    def requests(self) -> Iterator[tuple[int, datetime]]:
        """Yield the writes that were requested earlier, and when (naive UTC)."""
        for number, write in enumerate(self.new.writes):
            if write.asked_at is not None:
                yield self.first_id + number, naive_utc(write.asked_at)


def _joined(layout: Layout, other: Layout) -> Layout:
    """Return a layout of the same columns for the bars of both: with missing values where one has them."""
    columns = tuple(
        replace(one, missing=one.missing or two.missing, has_nulls=one.has_nulls or two.has_nulls)
        for one, two in zip(layout.columns, other.columns, strict=True)
    )
    return replace(layout, columns=columns)
