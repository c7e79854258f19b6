"""Removes whole series, and the bars of series that start before a time.

For a short series, a statement takes longer than its bars, so each statement is for many series. Everything here runs
inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from lumibot_duckdb.storage.api import SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.bar_rows import Cut, copy_since
from lumibot_duckdb.storage.bars.checksums import copy_checksums_since
from lumibot_duckdb.storage.bars.coverage_records import covered_series, forget_coverage
from lumibot_duckdb.storage.bars.outline_upkeep import outline_version
from lumibot_duckdb.storage.bars.series_records import (
    Ingest,
    delete_records,
    delete_superseded,
    layout_ids,
    record_ingests,
    supersede,
)
from lumibot_duckdb.storage.bars.snapshots import kept_versions, refuse_if_needed, series_in_snapshots
from lumibot_duckdb.storage.bars.version_state import VersionState, measured
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import EpochSeconds

_FOREVER_AGO = -(2**40)  # before every stored time


@dataclass(frozen=True, slots=True)
class Removal:
    """A removal from a series, whose state is `before`. `ingest_id` is that of the write."""

    key: SeriesKey
    before: VersionState
    ingest_id: int


def delete_series(cursor: StoreCursor, series: Collection[Removal], now: datetime) -> int:
    """Delete series with all their versions; return how many bars their current versions had.

    Raises `SnapshotError` if a snapshot has one of them. `now` (naive UTC) is after all earlier writes.
    """
    if not series:
        return 0
    refuse_if_needed(cursor, {each.before.series_id: each.key.label() for each in series})
    delete_records(cursor, [each.before.series_id for each in series])
    records = []
    for each in series:
        gone = replace(each.before, rows=0, first=None, last=None)
        result = WriteResult(each.key, None, removed=each.before.rows)
        records.append(Ingest(each.ingest_id, "delete", result, gone, each.before.layout_id))
    record_ingests(cursor, records, now)
    return sum(each.before.rows for each in series)


def prune_series(
    cursor: StoreCursor, starts: Mapping[Removal, EpochSeconds], now: datetime, *, at_once: bool
) -> dict[SeriesKey, int]:
    """Remove the bars of series that start before a time, and their coverage; return how many were removed of each.

    The other bars begin a new version, so that no pin of the old one ever shows a part of its bars. A series that has
    neither bars nor coverage afterwards is deleted. With `at_once`, superseded versions that no snapshot needs are
    deleted now, not by a compaction. A series whose current version a snapshot needs stays unchanged.
    """
    kept = kept_versions(cursor, [each.before.series_id for each in starts])
    pruned = {
        each: start
        for each, start in starts.items()
        if each.before.first is not None and each.before.first < start and each.before.version_id not in kept
    }
    if not pruned:
        return {}
    ids = [each.before.series_id for each in pruned]
    for start in set(pruned.values()):
        of_start = [each.before.series_id for each in pruned if pruned[each] == start]
        forget_coverage(cursor, of_start, TimeRange(min(_FOREVER_AGO, start), start))
    cuts = [Cut(each.before.version_id, each.ingest_id, start, each.key.timeframe) for each, start in pruned.items()]
    copy_since(cursor, cuts)
    supersede(cursor, [(each.before, each.ingest_id) for each in pruned], now)
    left = measured(cursor, [replace(each.before, version_id=each.ingest_id) for each in pruned])
    copy_checksums_since(cursor, cuts)
    staying = series_in_snapshots(cursor, ids) | covered_series(cursor, ids)
    emptied = [each for each, after in zip(pruned, left, strict=True) if not (after.rows or after.series_id in staying)]
    if at_once:
        delete_superseded(cursor, ids, kept)
    records = []
    layouts = layout_ids(cursor, [(after.layout, each.ingest_id) for each, after in zip(pruned, left, strict=True)])
    for each, after in zip(pruned, left, strict=True):
        outline_version(cursor, each.key, after)
        result = WriteResult(each.key, None, removed=each.before.rows - after.rows, new_version=True)
        if after.rows or after.series_id in staying:
            records.append(Ingest(each.ingest_id, "prune", result, after, layouts[after.layout]))
    record_ingests(cursor, records, now)
    delete_series(cursor, emptied, now)
    return {each.key: each.before.rows - after.rows for each, after in zip(pruned, left, strict=True)}
