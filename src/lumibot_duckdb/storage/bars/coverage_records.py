"""The table of covered ranges: reads those that have not expired, and adds those of a write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.coverage import believed_until, closed_part, merged, missing
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.times import epoch_seconds, naive_utc


def stored_coverage(
    cursor: StoreCursor, now: datetime, series_id: int | None = None
) -> dict[int, list[tuple[TimeRange, datetime | None]]]:
    """Return the covered ranges of a series (None: of all) that have not expired, and when they do (naive UTC)."""
    found: dict[int, list[tuple[TimeRange, datetime | None]]] = {}
    which = "" if series_id is None else f"AND series_id = {series_id}"
    for series, start, end, until in cursor.rows(
        f"SELECT series_id, {epoch_sql('range_start')}, {epoch_sql('range_end')}, believed_until "
        f"FROM {{db}}.coverage WHERE (believed_until IS NULL OR believed_until > ?) {which}",
        [naive_utc(now)],
    ):
        found.setdefault(series, []).append((TimeRange(start, end), until))
    return found


def coverage_to_add(
    known: Sequence[tuple[TimeRange, datetime | None]],
    requested: Sequence[TimeRange],
    timeframe: str,
    *,
    asked_at: datetime,
    now: datetime,
    empty: bool,
) -> list[tuple[TimeRange, datetime | None]]:
    """Return the newly covered parts of the requested ranges, and when they expire.

    `known` is what `stored_coverage` has. Bars that had not closed at `asked_at` are not covered, however late the
    answer is written. Ranges of an `empty` answer expire.
    """
    asked_at = min(asked_at, now)
    lasting = merged(piece for piece, expires in known if empty or expires is None)
    fresh: list[tuple[TimeRange, datetime | None]] = []
    for piece in requested:
        closed = closed_part(piece, timeframe, epoch_seconds(asked_at))
        if closed is None or not missing(closed, lasting):
            continue
        until = believed_until(closed, asked_at) if empty else None
        if until is None or until > now:
            fresh.append((closed, until))
    return fresh


def add_coverage(
    cursor: StoreCursor, series_id: int, ingest_id: int, covered: TimeRange, believed_until: datetime | None
) -> None:
    """Store a covered range of a series."""
    cursor.execute(
        f"INSERT INTO {{db}}.coverage VALUES (?, ?, {timestamp_literal(covered.start)}, "
        f"{timestamp_literal(covered.end)}, ?)",
        [series_id, ingest_id, None if believed_until is None else naive_utc(believed_until)],
    )
