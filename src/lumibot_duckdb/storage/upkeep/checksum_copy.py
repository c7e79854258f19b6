"""Checksums of the bars that are copied into a new file. Those that an older release did not store are computed."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.storage.bars.checksums import (
    Checksums,
    SegmentSums,
    add_checksums,
    all_checksums,
    checked_columns,
    forget_unchecked,
    segment_days,
    sums_of,
    unchecked_to,
)
from lumibot_duckdb.storage.bars.columns import by_version, single_array
from lumibot_duckdb.storage.connection.cursor import StoreCursor


class MissingChecksums:
    """Computes the checksums of bars that an older release stored without, by version."""

    def __init__(self, cursor: StoreCursor) -> None:
        self._found: dict[int, Checksums] = {}
        self._unchecked_to = unchecked_to(cursor)
        self._columns = checked_columns(cursor)
        self._days = {
            version_id: segment_days(timeframe)
            for version_id, timeframe in cursor.rows(
                "SELECT version_id, timeframe FROM {db}.series_version JOIN {db}.series USING (series_id) "
                "WHERE version_id <= ?",
                [self._unchecked_to],
            )
        }

    def add(self, rows: pa.Table) -> None:
        """Add rows, which are sorted by version and time."""
        if not self._days:
            return
        missing = rows.filter(pc.field("ingest_id") <= self._unchecked_to).combine_chunks()
        for version_id, times, bars in by_version(missing):
            days = self._days.get(version_id)
            if days is None:
                continue
            columns = {name: single_array(bars[name]) for name in self._columns}
            known = self._found.setdefault(version_id, {})
            for number, sums in sums_of(times, columns, days).items():
                known.setdefault(number, SegmentSums()).add(sums.bars, sums.sums)

    def complete(self, new: StoreCursor, old: StoreCursor, versions: set[int]) -> None:
        """Store the checksums of some versions in the new file: those of the old file, added up, and those missing.

        The bars are not read again, so that the copy of a damaged bar still counts as damaged.
        """
        for found in (all_checksums(old), self._found.items()):
            add_checksums(new, {version_id: of_version for version_id, of_version in found if version_id in versions})
        forget_unchecked(new)
