"""Which writes stored the bars of a pinned version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from lumibot_duckdb.storage.api import IngestInfo, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.columns import pinned_rows
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import starts_between
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import aware_utc, naive_utc

_INGESTS = "SELECT ingest_id, ingested_at, kind, metadata FROM {db}.ingest WHERE ingest_id IN ({which})"
_OF_BARS = "SELECT DISTINCT ingest_id FROM {db}.bar WHERE {which}"
_FEW = 100  # up to so many, two queries are faster than one
# A version has another series since a rename, but its bars may come from writes before that.
_NOTED = """
SELECT ingest_id
FROM {db}.ingest
WHERE series_id IN (?, (SELECT series_id FROM {db}.series_version WHERE version_id = ?)) AND contains(metadata, ?)
"""
_SERIES_NOTED = "SELECT DISTINCT series_id FROM {db}.ingest WHERE contains(metadata, ?) OR kind = 'delete'"
_LAST_NOTED = """
SELECT series_id, max(ingested_at)
FROM {db}.ingest
WHERE ingested_at >= ? AND kind = 'bars' AND contains(metadata, ?)
GROUP BY ALL
"""
_EMPTY_ANSWERS = """
SELECT ingest_id, ingested_at, kind, metadata
FROM {db}.ingest
WHERE version_id = ? AND ingest_id <= ? AND kind = 'coverage'
ORDER BY ingest_id
"""


IngestRow: TypeAlias = "tuple[int, datetime, str, str | None]"
"""Id, time (naive UTC), kind and metadata of an ingest, in their stored form."""


def empty_answers_of(cursor: StoreCursor, pin: SeriesPin) -> tuple[IngestInfo, ...]:
    """Return the writes to the pinned version that brought coverage but no bars, earliest first."""
    return ingest_infos(cursor.rows(_EMPTY_ANSWERS, [pin.version_id, pin.ingest_id]))


def ingests_of(
    cursor: StoreCursor, pin: SeriesPin, within: Sequence[TimeRange] | None, having: str | None
) -> tuple[IngestInfo, ...]:
    """Return the ingests that brought bars of the pinned version (in some ranges), earliest first.

    `having` leaves out ingests whose metadata lacks that key. Only if any has it are the bars looked at.
    """
    which = pinned_rows(pin)
    if having is not None:
        noted = [str(i) for (i,) in cursor.rows(_NOTED, [pin.series_id, pin.version_id, json.dumps(having)])]
        if not noted:
            return ()
        which += f" AND ingest_id IN ({', '.join(noted)})"
    if within is not None:
        which += f" AND ({' OR '.join(map(_inside, within)) or 'false'})"
    of_bars = _OF_BARS.replace("{which}", which)
    ids = [str(i) for (i,) in cursor.rows(f"{of_bars} LIMIT {_FEW + 1}")]
    if not ids:
        return ()
    rows = cursor.rows(_INGESTS.replace("{which}", ", ".join(ids) if len(ids) <= _FEW else of_bars))
    found = ingest_infos(sorted(rows, key=lambda row: row[0]))
    return found if having is None else tuple(ingest for ingest in found if having in ingest.metadata)


def series_noting(cursor: StoreCursor, key: str) -> frozenset[int]:
    """Return the series that may have an ingest whose metadata has a key.

    The writes of a series that was renamed belong to another one, so it may have some, too.
    """
    return frozenset(series_id for (series_id,) in cursor.rows(_SERIES_NOTED, [json.dumps(key)]))


def last_writes_noting(cursor: StoreCursor, key: str, since: datetime) -> dict[int, datetime]:
    """Return when bars of series were last written with a metadata key since a moment (UTC), by series id."""
    rows = cursor.rows(_LAST_NOTED, [naive_utc(since), f"{json.dumps(key)}:"])
    return {series_id: aware_utc(at) for series_id, at in rows}


def ingest_infos(rows: Iterable[IngestRow]) -> tuple[IngestInfo, ...]:
    """Return stored ingests as the storage describes them."""
    return tuple(
        IngestInfo(ingest_id, aware_utc(at), kind, _metadata(ingest_id, text)) for ingest_id, at, kind, text in rows
    )


def _metadata(ingest_id: int, text: str | None) -> Mapping[str, Any]:
    if not text:
        return {}
    with reading(f"the metadata of write {ingest_id}"):
        return dict(json.loads(text))


def _inside(piece: TimeRange) -> str:
    return f"({starts_between(piece.start, piece.end)})"
