"""Compaction: drops superseded versions and sorts the bars in the order in which they are read.

It copies the store into a new file beside it, which then replaces it. Other processes keep reading and writing
meanwhile, and wait only at the end. Until then the store is untouched: a crash or a full disk leaves it unchanged, and
the next compaction removes the unfinished file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa

from lumibot_duckdb.storage.api import OnRows, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.bars.snapshots import kept_versions
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.location import ensure_folder
from lumibot_duckdb.storage.partial_work import partial_work
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.times import naive_utc, utc_now
from lumibot_duckdb.storage.upkeep.fragmentation import Fragmentation, measure
from lumibot_duckdb.storage.upkeep.replacement import put_in_place, unfinished
from lumibot_duckdb.storage.upkeep.store_copy import NewFile, VersionsOf, copy_most, copy_rest, new_file

_INCOMING = "lumibot_duckdb_batch"
_JOINED = pa.schema(
    [
        ("series_id", pa.int32()),
        ("ingest_id", pa.int32()),
        ("start", pa.timestamp("s")),
        ("end", pa.timestamp("s")),
    ]
)


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        bytes_before: the size of the file.
        bytes_after: its size afterwards.
        rows: how many bars it has.
        rows_removed: how many bars of superseded versions were removed.
        versions_removed: how many such versions.
        before: how fragmented the store was.
        after: how fragmented it is.
    """

    bytes_before: int
    bytes_after: int
    rows: int
    rows_removed: int
    versions_removed: int
    before: Fragmentation
    after: Fragmentation


def compact(
    connection: StoreConnection, grace: timedelta, on_rows: OnRows | None = None, memory_limit: str = "256MB"
) -> CompactionReport:
    """Rewrite the store: drop versions that were superseded longer ago than `grace`, and cluster the others.

    Versions that a snapshot needs stay.

    `on_rows` receives how many bars are copied.
    """
    kept, path = _kept_for(grace), connection.path
    ensure_folder(path)
    with (
        partial_work("the store is unchanged") as work,
        writing("the store is unchanged", needs=(path.stat().st_size, path.parent)),
        unfinished(path, "compacting") as file,
        deferred(),
        new_file(file, memory_limit) as new,
    ):
        with connection.read() as cursor:
            fragmented = measure(cursor, kept(cursor))
        copied = copy_most(connection, new, kept, on_rows)
        with connection.exclusive() as live:
            before = live.stat().st_size
            done = copy_rest(new, live, kept, copied, _join_coverage)
            new.execute("CHECKPOINT new")
            clustered = measure(new.cursor, kept(new.cursor))
            new.detach()
            put_in_place(file, live)
            work.outcome = "the store is compacted"
            return CompactionReport(
                *(before, live.stat().st_size, done.rows, done.rows_left_out, done.versions_left_out),
                *(fragmented, clustered),
            )


def fragmentation(connection: StoreConnection, grace: timedelta) -> Fragmentation:
    """Return how fragmented the store is, if versions that were superseded longer ago than `grace` are not needed."""
    with connection.read() as cursor:
        return measure(cursor, _kept_for(grace)(cursor))


def _kept_for(grace: timedelta) -> VersionsOf:
    """Return what returns the versions that are current, superseded less than `grace` ago, or needed by a snapshot."""
    kept_since = naive_utc(utc_now() - grace)

    def kept(cursor: StoreCursor) -> set[int]:
        found = cursor.rows(
            "SELECT version_id FROM {db}.series_version WHERE superseded_at IS NULL OR superseded_at > ?", [kept_since]
        )
        return {version_id for (version_id,) in found} | kept_versions(cursor)

    return kept


def _join_coverage(new: NewFile, old: StoreCursor) -> None:
    """Copy coverage: adjacent ranges of a series are joined, and provisional ones dropped that are proven by now.

    Expired ones stay, since a second response that shows the same makes them permanent.
    """
    lasting: dict[int, list[tuple[int, TimeRange]]] = {}
    for series_id, ingest_id, start, end in old.rows(
        f"SELECT series_id, ingest_id, {epoch_sql('range_start')}, {epoch_sql('range_end')} "
        "FROM {db}.coverage WHERE believed_until IS NULL"
    ):
        lasting.setdefault(series_id, []).append((ingest_id, TimeRange(start, end)))
    joined = [
        {"series_id": series_id, "ingest_id": max(i for i, _ in covered), "start": piece.start, "end": piece.end}
        for series_id, covered in lasting.items()
        for piece in merged(piece for _, piece in covered)
    ]
    new.cursor.register(_INCOMING, pa.Table.from_pylist(joined, _JOINED))
    new.cursor.execute(f"INSERT INTO {{db}}.coverage SELECT *, NULL FROM {_INCOMING}")
    new.cursor.unregister(_INCOMING)
    new.execute("""
        INSERT INTO new.coverage
        SELECT * FROM old.coverage AS provisional
        WHERE believed_until IS NOT NULL AND NOT EXISTS (
            FROM new.coverage AS proven
            WHERE proven.series_id = provisional.series_id
                AND proven.range_start <= provisional.range_start AND proven.range_end >= provisional.range_end
        )
    """)
