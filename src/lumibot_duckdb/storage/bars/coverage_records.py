"""The table of covered ranges: reads, adds and forgets them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.coverage import Covered, closed_part, missing, newly_covered
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import StoreDamagedError
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.times import EpochSeconds, aware_utc, epoch_seconds, naive_utc

_ROWS = f"{epoch_sql('range_start')}, {epoch_sql('range_end')}, believed_until"


def stored_coverage(
    cursor: StoreCursor, now: datetime | None, series_id: int | None = None, *, up_to: int | None = None
) -> dict[int, list[Covered]]:
    """Return the covered ranges of a series (None: of all) that have not expired by `now` (None: all ranges).

    Ranges that a later ingest than `up_to` recorded are left out.
    """
    found: dict[int, list[Covered]] = {}
    which = "" if series_id is None else f"AND series_id = {series_id}"
    if up_to is not None:
        which += f" AND ingest_id <= {up_to}"
    for series, *row in cursor.rows(
        f"SELECT series_id, {_ROWS} FROM {{db}}.coverage WHERE coalesce(believed_until > $now, true) {which}",
        {"now": None if now is None else naive_utc(now)},
    ):
        found.setdefault(series, []).append(covered_range(*row))
    return found


def coverage_to_add(
    cursor: StoreCursor,
    series_id: int | None,
    proven: Iterable[TimeRange],
    provisional: Iterable[TimeRange],
    timeframe: str,
    *,
    asked_at: datetime,
    now: datetime,
) -> list[Covered]:
    """Return what a response that was requested at `asked_at` adds to the coverage of a series (None: a new one).

    Bars that had not closed then are not covered, however late the response is written.
    """
    closing = epoch_seconds(asked_at)
    proven, provisional = (
        [closed for piece in pieces if (closed := closed_part(piece, timeframe, closing)) is not None]
        for pieces in (proven, provisional)
    )
    if not proven and not provisional:
        return []
    known: list[Covered] = []
    if series_id is not None:
        known = stored_coverage(cursor, None, series_id).get(series_id, [])
    return newly_covered(known, proven, provisional, asked_at=asked_at, now=now)


def add_coverage(
    cursor: StoreCursor, series_id: int, ingest_id: int, covered: TimeRange, believed_until: datetime | None
) -> None:
    """Store a covered range of a series, which is provisional if it is believed for a limited time."""
    cursor.execute(
        f"INSERT INTO {{db}}.coverage VALUES (?, ?, {timestamp_literal(covered.start)}, "
        f"{timestamp_literal(covered.end)}, ?)",
        [series_id, ingest_id, None if believed_until is None else naive_utc(believed_until)],
    )


def forget_coverage(cursor: StoreCursor, series_id: int, within: TimeRange | None) -> None:
    """Remove the coverage of a series in a range (None: all of it)."""
    which = f"series_id = {series_id}"
    if within is not None:
        which += f" AND range_end > {timestamp_literal(within.start)} AND range_start < {timestamp_literal(within.end)}"
    rows = cursor.rows(f"SELECT ingest_id, {_ROWS} FROM {{db}}.coverage WHERE {which}")
    cursor.execute(f"DELETE FROM {{db}}.coverage WHERE {which}")
    if within is not None:
        for ingest_id, *row in rows:
            piece, until = covered_range(*row)
            for rest in missing(piece, [within]):
                add_coverage(cursor, series_id, ingest_id, rest, until)


def covered_range(start: EpochSeconds, end: EpochSeconds, believed_until: datetime | None) -> Covered:
    """Return a covered range, given until when it is believed (naive UTC; None: permanently)."""
    if end < start:
        raise StoreDamagedError(
            f"a covered range ends before it starts ({start} to {end}): `verify --repair` removes it"
        )
    return TimeRange(start, end), None if believed_until is None else aware_utc(believed_until)


def coverage_rows(cursor: StoreCursor, series_id: int) -> list[list[int | str | None]]:
    """Return the coverage of a series in a form for `restore_coverage` that JSON can hold."""
    return [
        [ingest_id, start, end, None if until is None else until.isoformat()]
        for ingest_id, start, end, until in cursor.rows(
            f"SELECT ingest_id, {_ROWS} FROM {{db}}.coverage WHERE series_id = ? ORDER BY ALL", [series_id]
        )
    ]


def restore_coverage(cursor: StoreCursor, series_id: int, rows: Iterable[list[Any]]) -> None:
    """Replace the coverage of a series."""
    cursor.execute("DELETE FROM {db}.coverage WHERE series_id = ?", [series_id])
    for ingest_id, start, end, until in rows:
        expires = None if until is None else aware_utc(datetime.fromisoformat(until))
        add_coverage(cursor, series_id, ingest_id, TimeRange(start, end), expires)
