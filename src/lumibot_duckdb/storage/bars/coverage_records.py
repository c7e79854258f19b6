"""The table of covered ranges: reads, adds and forgets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.coverage import Covered, closed_part, newly_covered
from lumibot_duckdb.storage.bars.row_inserts import insert_rows
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import StoreDamagedError
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.times import EpochSeconds, aware_utc, epoch_seconds, naive_utc

if TYPE_CHECKING:
    from lumibot_duckdb.storage.times import Int64Array

_COLUMNS = pa.schema(
    [
        ("series_id", pa.int32()),
        ("ingest_id", pa.int32()),
        ("range_start", pa.timestamp("s")),
        ("range_end", pa.timestamp("s")),
        ("believed_until", pa.timestamp("us")),
    ]
)
_ROWS = f"{epoch_sql('range_start')}, {epoch_sql('range_end')}, believed_until"


def stored_coverage(
    cursor: StoreCursor,
    now: datetime | None,
    series: Iterable[int] | None = None,
    *,
    up_to: Mapping[int, int] | None = None,
) -> dict[int, list[Covered]]:
    """Return the covered ranges of series (None: of all) that have not expired by `now` (None: all ranges).

    Ranges that a later ingest than `up_to`, by series, recorded are left out.
    """
    found: dict[int, list[Covered]] = {}
    which = "true" if series is None else is_one_of("series_id", series)
    for series_id, ingest_id, *row in cursor.rows(
        f"SELECT series_id, ingest_id, {_ROWS} FROM {{db}}.coverage "
        f"WHERE coalesce(believed_until > $now, true) AND {which}",
        {"now": None if now is None else naive_utc(now)},
    ):
        if up_to is None or ingest_id <= up_to[series_id]:
            found.setdefault(series_id, []).append(covered_range(*row))
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
    closed_at: datetime | None = None,
    starts: Int64Array | None = None,
) -> list[Covered]:
    """Return what a response that was requested at `asked_at` adds to the coverage of a series (None: a new one).

    Bars that had not closed then, or at `closed_at`, are not covered, however late the response is written. `starts`
    are those of its bars.
    """
    closing = epoch_seconds(asked_at if closed_at is None else closed_at)
    proven, provisional = (
        [closed for piece in pieces if (closed := closed_part(piece, timeframe, closing, starts)) is not None]
        for pieces in (proven, provisional)
    )
    if not proven and not provisional:
        return []
    known: list[Covered] = []
    if series_id is not None:
        known = stored_coverage(cursor, None, [series_id]).get(series_id, [])
    return newly_covered(known, proven, provisional, asked_at=asked_at, now=now)


def add_coverage(cursor: StoreCursor, rows: Iterable[tuple[int, int, TimeRange, datetime | None]]) -> None:
    """Store covered ranges: their series and ingest, and until when they are believed, if they are provisional."""
    insert_rows(
        cursor,
        "coverage",
        _COLUMNS,
        [
            (series_id, ingest_id, covered.start, covered.end, None if until is None else naive_utc(until))
            for series_id, ingest_id, covered, until in rows
        ],
    )


def forget_coverage(cursor: StoreCursor, series: Iterable[int], within: TimeRange | None) -> None:
    """Remove the coverage of series in a range (None: all of it)."""
    which = is_one_of("series_id", series)
    if within is not None:
        start, end = timestamp_literal(within.start), timestamp_literal(within.end)
        which += f" AND range_end > {start} AND range_start < {end}"
        for first, last, rest in (
            ("range_start", start, f"range_start < {start}"),
            (end, "range_end", f"range_end > {end}"),
        ):
            cursor.execute(
                f"INSERT INTO {{db}}.coverage SELECT series_id, ingest_id, {first}, {last}, believed_until "
                f"FROM {{db}}.coverage WHERE {which} AND {rest}"
            )
    cursor.execute(f"DELETE FROM {{db}}.coverage WHERE {which}")


def covered_series(cursor: StoreCursor, series: Iterable[int]) -> set[int]:
    """Return those of some series that have coverage, expired or not."""
    found = cursor.rows(f"SELECT DISTINCT series_id FROM {{db}}.coverage WHERE {is_one_of('series_id', series)}")
    return {series_id for (series_id,) in found}


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


def restore_coverage(cursor: StoreCursor, series_id: int, rows: Sequence[list[Any]]) -> None:
    """Replace the coverage of a series."""
    cursor.execute("DELETE FROM {db}.coverage WHERE series_id = ?", [series_id])
    expiries = [None if until is None else aware_utc(datetime.fromisoformat(until)) for *_, until in rows]
    add_coverage(
        cursor,
        [
            (series_id, ingest_id, TimeRange(start, end), until)
            for (ingest_id, start, end, _), until in zip(rows, expiries, strict=True)
        ],
    )
