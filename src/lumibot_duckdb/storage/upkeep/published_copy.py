"""Makes the file of a snapshot that is published: the store or some of its series, as they are or were at a moment.

It is compact, since it has one version of each series, and complete in itself: a store that is only read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import AsOf, AssetKey, OnRows, TimeRange
from lumibot_duckdb.storage.bars.checksums import store_checksums
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.outline_records import has_outline, store_outline
from lumibot_duckdb.storage.bars.repeats import may_repeat, store_repeats
from lumibot_duckdb.storage.bars.snapshots import writes_as_of
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.errors import SeriesNotFoundError, VersionGoneError
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.times import aware_utc, utc_now
from lumibot_duckdb.storage.upkeep.store_copy import copy_most, copy_rest, new_file

_PUBLISHED = "lumibot_duckdb_published"
_COLUMNS = pa.schema([("series_id", pa.int32()), ("version_id", pa.int32()), ("ingest_id", pa.int32())])
_NO_END = 2**31 - 1  # above every id of a write
_LATER_BARS = "SELECT DISTINCT version_id FROM {db}.bar WHERE ingest_id > {last}"
_STATES = """
SELECT series_id, ingest.version_id, ingest.ingest_id, stored.version_id IS NOT NULL
FROM {db}.ingest
JOIN {db}.series USING (series_id)
LEFT JOIN {db}.series_version AS stored ON stored.version_id = ingest.version_id
WHERE ingest.ingest_id <= {last} AND {which}
QUALIFY row_number() OVER (PARTITION BY series_id ORDER BY ingest.ingest_id DESC) = 1
"""
_CUT = f"""
SELECT version_id, timeframe, asset_type, count(*), {epoch_sql("min(ts)")}, {epoch_sql("max(ts)")}
FROM {{db}}.bar JOIN {{db}}.series ON current_version = version_id JOIN {{db}}.asset USING (asset_id)
WHERE {{which}} GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class PublishedCopy:
    """What the file of a snapshot has: the bars as of a moment (UTC)."""

    as_of: datetime
    schema: int
    series: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Choice:
    """The series that are published (None: all), up to a write."""

    series: Collection[int] | None
    last_ingest: int

    def states(self, cursor: StoreCursor) -> list[tuple[int, int, int]]:
        """Return each series with its version, and the last write to it."""
        which = "true" if self.series is None else is_one_of("series_id", self.series)
        found = cursor.rows(_STATES.replace("{last}", str(self.last_ingest)).replace("{which}", which))
        gone = [series_id for series_id, _, _, there in found if not there]
        if gone:
            raise VersionGoneError(
                f"{len(gone)} of the series had versions then that are no longer in the store: publish a later moment, "
                "or others (a snapshot keeps the versions that it needs)"
            )
        return [(series_id, version_id, ingest_id) for series_id, version_id, ingest_id, _ in found]

    def versions(self, cursor: StoreCursor) -> set[int]:
        """Return the versions that are published."""
        return {version_id for _, version_id, _ in self.states(cursor)}


def write_published_copy(
    store: OpenStore,
    file: Path,
    location: str,
    *,
    series: Collection[int] | None = None,
    as_of: AsOf | None = None,
    on_rows: OnRows | None = None,
) -> PublishedCopy:
    """Write a new file with the series of some ids (None: all), for publication to a location.

    Raises `SeriesNotFoundError` if there is none, `VersionGoneError`, `SnapshotNotFoundError`, `ReplicaError`, and
    ValueError if `as_of` is no time.
    """
    choice, moment = _chosen(store, series, as_of)
    with deferred(), new_file(file) as new:
        copied = copy_most(store.connection, new, choice.versions, on_rows)
        with store.connection.unchanging() as live:
            now = utc_now()
            copy_rest(new, live, choice.versions, copied)
        new.duck.begin()
        _keep_only(new.cursor, choice)
        migrations.begin_publication(new.cursor, location)
        new.duck.commit()
        ((of_all, rows),) = new.cursor.rows(
            "SELECT (SELECT count(*) FROM {db}.series), (SELECT count(*) FROM {db}.bar)"
        )
        if not of_all:
            raise SeriesNotFoundError("there are no series to publish" + (f" as of {as_of}" if as_of else ""))
        new.detach()
        return PublishedCopy(min(moment or now, now), migrations.newest(), of_all, rows)


def _chosen(store: OpenStore, series: Collection[int] | None, as_of: AsOf | None) -> tuple[_Choice, datetime | None]:
    """Return what is published, and the moment that `as_of` means."""
    if as_of is None:
        return _Choice(series, _NO_END), None
    with store.read() as cursor:
        seen, value = writes_as_of(cursor, as_of)
        ((last,),) = cursor.rows(f"SELECT coalesce(max(ingest_id), 0) FROM {{db}}.ingest WHERE {seen}", [value])
        if isinstance(value, datetime):
            return _Choice(series, last), aware_utc(value)
        ((made_at,),) = cursor.rows("SELECT created_at FROM {db}.snapshot WHERE name = ?", [as_of])
        return _Choice(series, last), aware_utc(made_at)


def _keep_only(cursor: StoreCursor, choice: _Choice) -> None:
    """Remove from a copy what is not published, inside a transaction."""
    states = choice.states(cursor)
    cut = [version for (version,) in cursor.rows(_LATER_BARS.replace("{last}", str(choice.last_ingest)))]
    names = zip(*states, strict=True) if states else ((), (), ())
    columns = [pa.array(list(ids), pa.int32()) for ids in names]
    cursor.register(_PUBLISHED, pa.Table.from_arrays(columns, schema=_COLUMNS))
    cursor.execute(sql_file("published_copy.sql").replace("{last}", str(choice.last_ingest)))
    cursor.unregister(_PUBLISHED)
    _describe_again(cursor, cut)


def _describe_again(cursor: StoreCursor, versions: Collection[int]) -> None:
    """Make the outlines, repeats and checksums of versions that have lost their latest bars."""
    which = is_one_of("version_id", versions)
    for table in ("outline", "repeated_bar", "bar_checksum"):
        cursor.execute(f"DELETE FROM {{db}}.{table} WHERE {which}")
    for version_id, timeframe, asset_type, rows, first, last in cursor.rows(_CUT.replace("{which}", which)):
        store_checksums(cursor, version_id, timeframe)
        if has_outline(rows):
            store_outline(cursor, version_id, first, last)
            if may_repeat(AssetKey("-", asset_type)):
                store_repeats(cursor, version_id, timeframe, TimeRange(first, last + 1))
