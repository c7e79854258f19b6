"""The rows of a series that its first requests read, fetched by one query.

The first touch of a series asks for the times of a day that its range cuts, for those of a page, and then for bars of
it. DuckDB takes longer to plan a query than to read a few thousand rows, so the first of these reads them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.bars.layout import ColumnLayout
from lumibot_duckdb.storage.bars.outline import Days
from lumibot_duckdb.storage.times import Int64Array

ROWS = 10_000
"""About how many rows are read at once."""

INGEST = "ingest_id"


@dataclass(frozen=True, slots=True)
class FirstBars:
    """The stored form of the pinned rows in a range (None: all), sorted by time, and their bar starts."""

    pin: SeriesPin
    within: TimeRange | None
    table: pa.Table
    times: Int64Array

    def part(self, within: TimeRange | None, columns: Sequence[ColumnLayout]) -> tuple[pa.Table, Int64Array] | None:
        """Return the rows in a range (None: all); None if they, or one of some columns, may be missing here."""
        if not self._has(within) or not {name for c in columns for name, _ in c.physical_columns()}.issubset(
            self.table.column_names
        ):
            return None
        if within is None:
            return self.table, self.times
        first, stop = self.times.searchsorted((within.start, within.end)).tolist()
        return self.table.slice(first, stop - first), self.times[first:stop]

    def ingest_ids(self, ranges: Sequence[TimeRange]) -> list[int]:
        """Return the ids of the writes that brought the rows in some ranges, sorted. The table must have them."""
        ids = single_array(self.table[INGEST]).to_numpy()
        pieces = [ids[slice(*self.times.searchsorted((piece.start, piece.end)))] for piece in ranges]
        found: list[int] = np.unique(np.concatenate([ids[:0], *pieces])).tolist()
        return found

    def _has(self, within: TimeRange | None) -> bool:
        if self.within is None or within is None:
            return self.within is None
        return self.within.start <= within.start and within.end <= self.within.end


def range_to_read(days: Days, within: TimeRange) -> TimeRange | None:
    """Return `within`, extended to about `ROWS` bars; None if it has more.

    `days` are those of the series.
    """
    first = int(days.last.searchsorted(within.start))
    before = np.cumsum(days.bars[first:]) - days.bars[first:]  # bars from the start on until each day
    last = int(before.searchsorted(ROWS)) - 1
    if last < 0:
        return within
    end = int(days.last[first + last]) + 1
    return TimeRange(within.start, end) if within.end <= end else None
