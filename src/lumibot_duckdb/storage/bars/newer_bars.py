"""Keeps a download that has waited in the spool from changing bars that were requested after it.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from lumibot_duckdb.storage.bars.difference import Difference
from lumibot_duckdb.storage.bars.version_state import VersionState
from lumibot_duckdb.storage.bars.write_request import BarsWrite
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.times import Int64Array, naive_utc

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars

# A write was requested when it was made, unless there is a record of another time.
_AT_ONCE = timedelta(seconds=5)
_REQUESTED = "coalesce(requested_at, ingested_at)"
_CHANGED_SINCE = f"""
SELECT {epoch_sql("ts")}
FROM {{db}}.bar JOIN {{db}}.ingest USING (ingest_id) LEFT JOIN {{db}}.ingest_request USING (ingest_id)
WHERE bar.version_id = $version AND {_REQUESTED} > $asked_at
"""
# A version has the id of the write that superseded the one before.
_REMOVED_SINCE = f"""
SELECT DISTINCT {epoch_sql("ts")}
FROM (
    SELECT version_id, lead(version_id) OVER (ORDER BY version_id) AS next
    FROM {{db}}.series_version WHERE series_id = $series
) AS superseded
JOIN {{db}}.ingest ON ingest.ingest_id = superseded.next
LEFT JOIN {{db}}.ingest_request ON ingest_request.ingest_id = superseded.next
JOIN {{db}}.bar ON bar.version_id = superseded.version_id
WHERE {_REQUESTED} > $asked_at
"""
_LAST_RESTATED = f"""
SELECT series_id, max({_REQUESTED})
FROM {{db}}.ingest LEFT JOIN {{db}}.ingest_request USING (ingest_id)
WHERE kind = 'renewal' AND {{which}}
GROUP BY series_id
"""


def record_request(cursor: StoreCursor, ingest_id: int, given: BarsWrite, now: datetime) -> None:
    """Record when bars were requested that have waited in the spool, or a while before `now` (naive UTC)."""
    moment = requested_earlier(given, now)
    if moment is not None:
        cursor.execute("INSERT INTO {db}.ingest_request VALUES (?, ?)", [ingest_id, naive_utc(moment)])


def requested_earlier(given: BarsWrite, now: datetime) -> datetime | None:
    """Return when bars were requested (UTC), if they have waited in the spool, or a while before `now` (naive UTC).

    For a write of several responses it is always known, since those of the next few seconds may be spooled.
    """
    waited = given.yields or given.closed_at is not None or now - naive_utc(given.asked_at) > _AT_ONCE
    return given.asked_at if waited else None


def was_restated_since(cursor: StoreCursor, series_id: int, asked_at: datetime) -> bool:
    """Return whether the history of a series was restated after `asked_at`."""
    restated = last_restated(cursor, [series_id]).get(series_id)
    return restated is not None and restated > naive_utc(asked_at)


def last_restated(cursor: StoreCursor, series: Iterable[int]) -> dict[int, datetime]:
    """Return when the history of series was last restated (naive UTC), by series; those never restated are left out."""
    return dict(cursor.rows(_LAST_RESTATED.replace("{which}", is_one_of("series_id", series))))


def without_newer(
    cursor: StoreCursor, before: VersionState, bars: InputBars, differs: Difference, asked_at: datetime
) -> tuple[InputBars, Difference]:
    """Return the bars without those that were changed or removed by a later request, and how the rest differs."""
    moment = naive_utc(asked_at)
    keep = np.ones(len(bars), bool)
    removed = differs.removed
    if differs.rewrites:
        changed_since = _times(cursor, _CHANGED_SINCE, {"version": before.version_id, "asked_at": moment})
        keep &= ~(differs.changed & np.isin(bars.times, changed_since))
        removed = removed[~np.isin(removed, changed_since)]
    if differs.added.any():
        removed_since = _times(cursor, _REMOVED_SINCE, {"series": before.series_id, "asked_at": moment})
        keep &= ~(differs.added & np.isin(bars.times, removed_since))
    return bars.rows(keep), Difference(differs.added[keep], differs.changed[keep], removed)


def _times(cursor: StoreCursor, query: str, parameters: dict[str, object]) -> Int64Array:
    return np.array([time for (time,) in cursor.rows(query, parameters)], np.int64)
