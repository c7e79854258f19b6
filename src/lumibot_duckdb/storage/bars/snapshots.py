"""The table of snapshots: names for the state of the store after a write, and the versions that they keep.

A version has the id of the write that began it, so a snapshot needs the version of a series that began at or before its
last write and was superseded after it. Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import AsOf, Snapshot
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import SnapshotError, SnapshotNotFoundError
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.times import aware_utc, naive_utc, new_york_timestamp

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[^\W_][\w.-]{0,99}")
_SERIES_SHOWN = 3
_ALL = "SELECT name, last_ingest, created_at FROM {db}.snapshot"


def stored_snapshots(cursor: StoreCursor) -> list[Snapshot]:
    """Return all snapshots, earliest first."""
    found = cursor.rows(f"{_ALL} ORDER BY last_ingest, created_at, name")
    return [Snapshot(name, last_ingest, aware_utc(created_at)) for name, last_ingest, created_at in found]


def add_snapshot(cursor: StoreCursor, name: str, last_ingest: int, now: datetime) -> Snapshot:
    """Name the state after a write. Raises `SnapshotError` for an unusable name, or one that is taken."""
    if not _NAME.fullmatch(name):
        raise SnapshotError(
            f"{name!r} cannot name a snapshot: use up to 100 letters, digits, '-', '_' and '.', and begin with a "
            "letter or a digit"
        )
    if _moment(name) is not None:
        raise SnapshotError(f"{name!r} cannot name a snapshot, since as_of would read it as a time: add a word")
    if cursor.rows("SELECT 1 FROM {db}.snapshot WHERE name = ?", [name]):
        raise SnapshotError(f"there is a snapshot {name!r} already: delete it first, or choose another name")
    cursor.execute("INSERT INTO {db}.snapshot VALUES (?, ?, ?)", [name, last_ingest, now])
    return Snapshot(name, last_ingest, aware_utc(now))


def delete_snapshot(cursor: StoreCursor, name: str) -> None:
    """Delete a snapshot. Raises `SnapshotNotFoundError`."""
    _named(cursor, name)
    cursor.execute("DELETE FROM {db}.snapshot WHERE name = ?", [name])


def writes_as_of(cursor: StoreCursor, as_of: AsOf) -> tuple[str, int | datetime]:
    """Return an SQL condition with one parameter for the rows of `ingest` that a moment or a snapshot has seen.

    Raises `SnapshotNotFoundError`, and ValueError for what is no time at all.
    """
    if isinstance(as_of, str):
        for (last_ingest,) in cursor.rows("SELECT last_ingest FROM {db}.snapshot WHERE name = ?", [as_of]):
            return "ingest_id <= ?", last_ingest
        stamp = _moment(as_of)
        if stamp is None:
            raise _unknown(cursor, as_of)
    else:
        stamp = new_york_timestamp(as_of)
    return "ingested_at <= ?", naive_utc(stamp.to_pydatetime())


def kept_versions(cursor: StoreCursor, series: Iterable[int] | None = None) -> set[int]:
    """Return the versions of some series (None: of all) that snapshots need."""
    which = "true" if series is None else is_one_of("series_id", series)
    return {version_id for (version_id,) in cursor.rows(sql_file("kept_versions.sql").replace("{which}", which))}


def snapshots_of(cursor: StoreCursor, series_id: int) -> list[Snapshot]:
    """Return the snapshots that have a series, earliest first."""
    first = first_versions(cursor, f"series_id = {series_id}").get(series_id)
    return [] if first is None else [each for each in stored_snapshots(cursor) if first <= each.last_ingest]


def first_versions(cursor: StoreCursor, which: str = "true") -> dict[int, int]:
    """Return the first version of each series that there is: a snapshot from then on has the series.

    The id of a series does not tell, because a renamed one has a new id.
    """
    return dict(
        cursor.rows(f"SELECT series_id, min(version_id) FROM {{db}}.series_version WHERE {which} GROUP BY series_id")
    )


def series_in_snapshots(cursor: StoreCursor, series: Collection[int]) -> set[int]:
    """Return those of some series that a snapshot has."""
    last = max((each.last_ingest for each in stored_snapshots(cursor)), default=0)
    first = first_versions(cursor, is_one_of("series_id", series)) if last else {}
    return {series_id for series_id, version_id in first.items() if version_id <= last}


def refuse_if_needed(cursor: StoreCursor, labels: Mapping[int, str]) -> None:
    """Raise `SnapshotError` if a snapshot has one of some series. Each has a label, by its id."""
    needed = series_in_snapshots(cursor, labels.keys())
    if not needed:
        return
    first = min(first_versions(cursor, is_one_of("series_id", needed)).values())
    names = [each.name for each in stored_snapshots(cursor) if first <= each.last_ingest]
    series = [label for series_id, label in labels.items() if series_id in needed]
    shown = "; ".join(series[:_SERIES_SHOWN])
    more = f"; and {len(series) - _SERIES_SHOWN:,} more series" if len(series) > _SERIES_SHOWN else ""
    raise SnapshotError(
        f"{shown}{more} cannot be deleted, because the snapshot {names[0]!r} needs "
        + ("it" if len(series) == 1 else "them")
        + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
        + f": delete the snapshot first (lumibot-duckdb snapshot {names[0]} --delete)"
    )


def _named(cursor: StoreCursor, name: str) -> None:
    if not cursor.rows("SELECT 1 FROM {db}.snapshot WHERE name = ?", [name]):
        raise _unknown(cursor, name)


def _unknown(cursor: StoreCursor, name: str) -> SnapshotNotFoundError:
    from difflib import get_close_matches

    names = [snapshot.name for snapshot in stored_snapshots(cursor)]
    similar = get_close_matches(name, names, n=1)
    if similar:
        hint = f"; did you mean {similar[0]!r}?"
    elif names:
        hint = f"; it has {', '.join(map(repr, names[-5:]))}"
    else:
        hint = "; it has none yet (make one with `lumibot-duckdb snapshot NAME`)"
    return SnapshotNotFoundError(f"the store has no snapshot {name!r}{hint}")


def _moment(text: str) -> pd.Timestamp | None:
    """Return the time that a text states; None if it states none."""
    try:
        return new_york_timestamp(text)
    except ValueError:
        return None
