"""Stores a whole series as it was in another store: its bars with the writes that brought them, and its coverage.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
from lumibot_duckdb.storage.bars.series_records import create_series, layout_id_of
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import Int64Array, naive_utc

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars

_INGESTS = "lumibot_duckdb_ingests"
_FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class RestoredWrite:
    """A write of the other store: when it was requested (UTC), its kind, and its metadata as JSON."""

    asked_at: datetime
    kind: str
    metadata: str | None


class RestoredSeries:
    """Stores a series that the store does not have. Add its bars, which are in the order of their times, then `finish`.

    The ids from `first_id` on, one per write, and `now` (naive UTC) are above those of all earlier writes.
    """

    def __init__(
        self,
        cursor: StoreCursor,
        key: SeriesKey,
        layout: Layout,
        writes: Sequence[RestoredWrite],
        first_id: int,
        now: datetime,
    ) -> None:
        self._cursor = cursor
        self._key = key
        self._writes = writes
        self._first_id = first_id
        self._now = now
        self._layout = layout
        self._version = create_series(cursor, key, layout, first_id, now)
        self._rows = np.zeros(len(writes), np.int64)
        self._first = np.full(len(writes), _FOREVER)
        self._last = np.full(len(writes), -_FOREVER)
        self._on_minute = np.ones(len(writes), bool)
        self._checksums: Checksums = {}

    def add(self, pieces: Iterable[tuple[InputBars, Int64Array]]) -> None:
        """Store bars, each with the number of the write that stored it. What the pieces raise is raised."""

        def with_ids() -> Iterator[tuple[InputBars, Int64Array]]:
            for bars, numbers in pieces:
                self._note(bars, numbers)
                yield bars, self._first_id + numbers

        insert_pieces(self._cursor, self._layout, with_ids(), self._version.version_id)

    def _note(self, bars: InputBars, numbers: Int64Array) -> None:
        self._layout = _joined(self._layout, bars.layout)
        np.add.at(self._rows, numbers, 1)
        np.minimum.at(self._first, numbers, bars.times)
        np.maximum.at(self._last, numbers, bars.times)
        np.logical_and.at(self._on_minute, numbers, bars.times % 60 == 0)
        columns = {"ingest_id": pa.array(self._first_id + numbers), **bars.physical()}
        for segment, sums in sums_of(bars.times, columns, segment_days(self._key.timeframe)).items():
            self._checksums.setdefault(segment, SegmentSums()).add(sums.bars, sums.sums)

    def finish(self, coverage: Sequence[Covered]) -> WriteResult:
        """Store everything but the bars."""
        layout_id = layout_id_of(self._cursor, self._layout, self._first_id)
        last_id = self._first_id + len(self._writes) - 1
        self._record_writes(layout_id)
        rows = int(self._rows.sum())
        after = replace(
            self._version,
            ingest_id=last_id,
            layout_id=layout_id,
            layout=self._layout,
            rows=rows,
            first=int(self._first.min()) if rows else None,
            last=int(self._last.max()) if rows else None,
            on_minute=bool(self._on_minute.all()),
        )
        add_checksums(self._cursor, {after.version_id: self._checksums})
        outline_version(self._cursor, self._key, after)
        for piece, expires in coverage:
            add_coverage(self._cursor, after.series_id, last_id, piece, expires)
        return WriteResult(self._key, last_id, added=rows, version_id=after.version_id)

    def _record_writes(self, layout_id: int) -> None:
        count = len(self._writes)
        ids = np.arange(self._first_id, self._first_id + count, dtype=np.int32)
        so_far = np.cumsum(self._rows)
        table = pa.table(
            {
                "ingest_id": ids,
                "ingested_at": pa.array(
                    [self._now + timedelta(microseconds=place) for place in range(count)], pa.timestamp("us")
                ),
                "kind": [write.kind for write in self._writes],
                "rows_added": self._rows,
                "version_rows": so_far,
                "version_first": _times(np.minimum.accumulate(self._first), so_far),
                "version_last": _times(np.maximum.accumulate(self._last), so_far),
                "on_minute": np.logical_and.accumulate(self._on_minute),
                "metadata": pa.array([write.metadata for write in self._writes], pa.string()),
                "asked_at": pa.array([naive_utc(write.asked_at) for write in self._writes], pa.timestamp("us")),
            }
        )
        self._cursor.register(_INGESTS, table)
        self._cursor.execute(
            "INSERT INTO {db}.ingest "
            f"SELECT ingest_id, {self._version.series_id}, {self._version.version_id}, ingested_at, kind, rows_added, "
            f"0, 0, {layout_id}, version_rows, version_first, version_last, on_minute, metadata FROM {_INGESTS}"
        )
        self._cursor.execute(f"INSERT INTO {{db}}.ingest_request SELECT ingest_id, asked_at FROM {_INGESTS}")
        self._cursor.unregister(_INGESTS)


def _joined(layout: Layout, other: Layout) -> Layout:
    """Return a layout of the same columns for the bars of both: with missing values where one has them."""
    columns = tuple(
        replace(one, missing=one.missing or two.missing, has_nulls=one.has_nulls or two.has_nulls)
        for one, two in zip(layout.columns, other.columns, strict=True)
    )
    return replace(layout, columns=columns)


def _times(seconds: Int64Array, rows: Int64Array) -> pa.Array:
    """Return times as the store has them; none before the first bar."""
    return pa.array(seconds, mask=rows == 0).cast(pa.timestamp("s"))
