"""Compaction: drops superseded versions and sorts the bars in the order in which they are read.

It writes the current bars into a new file beside the store. Other processes keep reading and writing meanwhile. They
wait only at the end, while recent changes are added and the new file replaces the old one. Until then the store is
untouched: a crash or a full disk leaves it unchanged, and the next compaction removes the unfinished file.
"""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, zip_longest
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnRows, TimeRange
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
from lumibot_duckdb.storage.bars.columns import add_missing_columns, bar_columns, single_array
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.bars.upgrade import build_outlines
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.engine import NEW_FILE, attach, spill_folder
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.connection.lock import is_alive
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StorageError, StoreDamagedError, StoreWriteError
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.times import naive_utc, utc_now

logger = logging.getLogger(__name__)

UNFINISHED = ".compacting-"
# Each row group leaves the last block of every column partly empty, so larger groups make a smaller file.
_ROW_GROUP = 2 * 122_880
# Rows that are read, sorted and written at a time: about 50 MB with ten columns.
_ROWS_AT_A_TIME = 2 * _ROW_GROUP
SMALL_TABLES = (
    "store_meta",
    "asset",
    "series",
    "layout",
    "ingest",
    "ingest_request",
    "corporate_action",
    "corporate_action_check",
    "option_chain",
    "option_chain_strikes",
    "migrated_file",
    "snapshot",
    "setting",
)
_KEPT = "lumibot_duckdb_kept"
_COPIED = "lumibot_duckdb_copied"
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
    """What a compaction did."""

    bytes_before: int
    bytes_after: int
    rows: int
    rows_removed: int
    versions_removed: int


@dataclass(frozen=True, slots=True)
class Piece:
    """About so many rows that are copied together: whole versions, or a stretch of a large one."""

    versions: tuple[int, int]
    rows: int
    times: tuple[int, int] | None = None

    def condition(self) -> str:
        """Return the SQL condition for these rows of `bar`."""
        text = f"version_id BETWEEN {self.versions[0]} AND {self.versions[1]}"
        if self.times is not None:
            text += f" AND ts >= {timestamp_literal(self.times[0])} AND ts < {timestamp_literal(self.times[1])}"
        return text


def compact(
    connection: StoreConnection, grace: timedelta, on_rows: OnRows | None = None, memory_limit: str = "256MB"
) -> CompactionReport:
    """Rewrite the store: drop versions that were superseded longer ago than `grace`, and cluster the others.

    `on_rows` receives how many bars are copied.
    """
    path = connection.path
    _remove_unfinished(path)
    kept_since = naive_utc(utc_now() - grace)
    unfinished = path.with_name(f"{path.name}{UNFINISHED}{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with deferred(), new_file(unfinished, memory_limit) as new:
            copied = _copy_most(connection, new, kept_since, on_rows)
            with connection.exclusive() as live:
                before = live.stat().st_size
                report = _copy_rest(new, live, kept_since, copied)
                new.detach()
                put_in_place(unfinished, live)
                return CompactionReport(before, live.stat().st_size, *report)
    except StorageError:
        raise
    except (OSError, duckdb.Error) as error:
        raise StoreWriteError(f"the store could not be compacted, and is unchanged: {error}") from error
    finally:
        discard(unfinished)


class NewFile:
    """A separate DuckDB instance with the unfinished file attached as `new`."""

    def __init__(self, duck: duckdb.DuckDBPyConnection, path: Path) -> None:
        self.duck = duck
        self.cursor = StoreCursor("new", duck)
        attach(duck, path, "new", f"{NEW_FILE}, ROW_GROUP_SIZE {_ROW_GROUP}")

    def execute(self, sql: str, parameters: Sequence[object] | None = None) -> None:
        """Run a statement that Ctrl-C can stop."""
        self.cursor.execute(sql, parameters)

    @contextmanager
    def with_old(self, path: Path) -> Iterator[StoreCursor]:
        """Attach the store as `old`, for reading."""
        attach(self.duck, path, "old", "READ_ONLY")
        try:
            yield StoreCursor("old", self.duck)
        finally:
            self.duck.execute("DETACH old")

    def detach(self) -> None:
        """Finish the new file: everything is in it, and no log beside it."""
        self.execute("CHECKPOINT new")
        self.execute("DETACH new")


@contextmanager
def new_file(path: Path, memory_limit: str) -> Iterator[NewFile]:
    """Yield a new file of a store. Nothing else uses its engine."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 2,
        "memory_limit": memory_limit,
        "temp_directory": spill_folder(),
        # A checkpoint would join small row groups, and leave holes in the file where they were.
        "max_vacuum_tasks": 0,
    }
    duck = duckdb.connect(":memory:", config=settings)
    try:
        yield NewFile(duck, path)
    finally:
        duck.close()


@dataclass(frozen=True, slots=True)
class _Copied:
    """What the first part of a compaction copied: these versions, up to that ingest."""

    store_id: str
    last_ingest: int
    versions: frozenset[int]
    checksums: dict[int, Checksums]


class _MissingChecksums:
    """Computes the checksums of bars that an older release stored without, by version."""

    def __init__(self, cursor: StoreCursor) -> None:
        self.found: dict[int, Checksums] = {}
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
        for version_id in rows["version_id"].unique().to_pylist() if self._days else ():
            days = self._days.get(version_id)
            if days is None:
                continue
            bars = rows.filter(
                (pc.field("version_id") == version_id) & (pc.field("ingest_id") <= self._unchecked_to)
            ).combine_chunks()
            times = bars["ts"].cast(pa.int64()).to_numpy()
            columns = {name: single_array(bars[name]) for name in self._columns}
            known = self.found.setdefault(version_id, {})
            for number, sums in sums_of(times, columns, days).items():
                known.setdefault(number, SegmentSums()).add(sums.bars, sums.sums)


def _copy_most(connection: StoreConnection, new: NewFile, kept_since: datetime, on_rows: OnRows | None) -> _Copied:
    """Copy the present bars, a piece at a time, and let others work in between."""
    with connection.read() as cursor:
        state = migrations.state(cursor)
        ((last_ingest,),) = cursor.rows("SELECT coalesce(max(ingest_id), 0) FROM {db}.ingest")
        versions = _kept_versions(cursor, kept_since)
        todo = pieces(cursor, versions)
        columns = bar_columns(cursor)
        checksums = _MissingChecksums(cursor)
    make_tables(new, columns)
    names = quoted(columns)
    done, total = 0, sum(piece.rows for piece in todo)
    waiting: pa.Table | None = None
    for piece, following in zip_longest(todo, todo[1:]):
        with connection.read() as cursor:
            _register_ids(cursor, _KEPT, versions)
            rows = cursor.arrow(
                f"SELECT {names} FROM {{db}}.bar WHERE {piece.condition()} AND ingest_id <= {last_ingest} "
                f"AND version_id IN (FROM {_KEPT}) ORDER BY version_id, ts"
            )
        checksums.add(rows)
        if waiting is not None:
            rows = pa.concat_tables([waiting, rows]).combine_chunks()
        # While more of the same version follows, only whole row groups are written.
        left_over = rows.num_rows % _ROW_GROUP if following is not None and following.versions == piece.versions else 0
        written = rows.num_rows - left_over
        waiting = rows.slice(written) if left_over else None
        _insert(new, names, rows.slice(0, written))
        done += piece.rows
        if on_rows is not None:
            on_rows(done, total)
    return _Copied(state.store_id, last_ingest, frozenset(versions), checksums.found)


def _insert(new: NewFile, names: str, rows: pa.Table) -> None:
    new.cursor.register(_INCOMING, rows)
    new.cursor.execute(f"INSERT INTO {{db}}.bar ({names}) SELECT {names} FROM {_INCOMING}")
    new.cursor.unregister(_INCOMING)


def _copy_rest(new: NewFile, live: Path, kept_since: datetime, copied: _Copied) -> tuple[int, int, int]:
    """Copy recent changes, and everything but bars; return rows, rows removed, versions removed."""
    with new.with_old(live) as old:
        state = migrations.state(old)
        if state.store_id != copied.store_id or state.schema_version != migrations.newest():
            raise StorageError(f"{live} was replaced by another store during its compaction; compact that one")
        kept = _kept_versions(old, kept_since)
        columns = bar_columns(old)
        names = quoted(columns)
        _register_ids(new.cursor, _KEPT, kept)
        _register_ids(new.cursor, _COPIED, copied.versions)
        new.duck.begin()
        add_missing_columns(new.cursor, columns)
        new.execute(f"DELETE FROM new.bar WHERE version_id NOT IN (FROM {_KEPT})")
        for condition in (
            f"version_id NOT IN (FROM {_COPIED})",
            f"version_id IN (FROM {_COPIED}) AND ingest_id > {copied.last_ingest}",
        ):
            new.execute(
                f"INSERT INTO new.bar ({names}) SELECT {names} FROM old.bar "
                f"WHERE version_id IN (FROM {_KEPT}) AND {condition} ORDER BY version_id, ts"
            )
        new.execute("DELETE FROM new.store_meta")
        for table in SMALL_TABLES:
            new.execute(f"INSERT INTO new.{table} BY NAME SELECT * FROM old.{table}")
        new.execute(
            f"INSERT INTO new.series_version SELECT * FROM old.series_version WHERE version_id IN (FROM {_KEPT})"
        )
        for table, order in (("outline", "block"), ("repeated_bar", "ts")):
            new.execute(
                f"INSERT INTO new.{table} SELECT * FROM old.{table} WHERE version_id IN (FROM {_KEPT}) "
                f"ORDER BY version_id, {order}"
            )
        _copy_checksums(new, old, kept, copied.checksums)
        _copy_coverage(new, old)
        new.duck.commit()
        ((rows, expected),) = old.rows(
            f"SELECT count(*), count(*) FILTER (version_id IN (FROM {_KEPT})) FROM {{db}}.bar"
        )
        ((written,),) = new.cursor.rows("SELECT count(*) FROM {db}.bar")
        if written != expected:
            raise StoreDamagedError(f"compacting would have changed {expected} bars into {written}; run verify()")
        ((versions,),) = old.rows("SELECT count(*) FROM {db}.series_version")
        return written, rows - written, versions - len(kept)


def quoted(columns: list[tuple[str, str]]) -> str:
    """Return names of columns (and their types) as a list in SQL."""
    return ", ".join(f'"{name}"' for name, _ in columns)


def _register_ids(cursor: StoreCursor, name: str, ids: Iterable[int]) -> None:
    cursor.register(name, pa.table({"version_id": pa.array(sorted(ids), pa.int32())}))


def _kept_versions(cursor: StoreCursor, kept_since: datetime) -> set[int]:
    found = cursor.rows(
        "SELECT version_id FROM {db}.series_version WHERE superseded_at IS NULL OR superseded_at > ?", [kept_since]
    )
    return {version_id for (version_id,) in found}


def pieces(cursor: StoreCursor, versions: set[int], most_rows: int | None = None) -> list[Piece]:
    """Split the bars into pieces of about so many rows (None: as many as are copied at a time), in order."""
    most_rows = most_rows or _ROWS_AT_A_TIME
    counts = cursor.rows(
        f"SELECT version_id, count(*), {epoch_sql('min(ts)')}, {epoch_sql('max(ts)')} FROM {{db}}.bar "
        "GROUP BY version_id ORDER BY version_id"
    )
    found: list[Piece] = []
    first = last = None
    rows = 0
    for version_id, count, earliest, latest in counts:
        if version_id not in versions:
            continue
        if first is not None and last is not None and rows + count > most_rows:
            found.append(Piece((first, last), rows))
            first, rows = None, 0
        if count > most_rows:
            found += _stretches(version_id, count, earliest, latest + 1, most_rows)
            continue
        first, last = version_id if first is None else first, version_id
        rows += count
    if first is not None and last is not None:
        found.append(Piece((first, last), rows))
    return found


def _stretches(version_id: int, rows: int, start: int, end: int, most_rows: int) -> list[Piece]:
    parts = -(-rows // most_rows)
    cuts = [start + (end - start) * part // parts for part in range(parts + 1)]
    counts = [rows * (part + 1) // parts - rows * part // parts for part in range(parts)]
    return [
        Piece((version_id, version_id), count, within) for count, within in zip(counts, pairwise(cuts), strict=True)
    ]


def make_tables(new: NewFile, columns: list[tuple[str, str]]) -> None:
    """Make the tables of a store, with these columns of `bar`."""
    migrations.migrate(new.cursor, build_outlines)
    add_missing_columns(new.cursor, columns)


def _copy_checksums(new: NewFile, old: StoreCursor, kept: set[int], missing: dict[int, Checksums]) -> None:
    """Copy checksums, added up, and add those that were missing. The bars are not looked at again."""
    for version_id, found in all_checksums(old):
        if version_id in kept:
            add_checksums(new.cursor, version_id, found)
    for version_id, found in missing.items():
        if version_id in kept:
            add_checksums(new.cursor, version_id, found)
    forget_unchecked(new.cursor)


def _copy_coverage(new: NewFile, old: StoreCursor) -> None:
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


def put_in_place(unfinished: Path, live: Path) -> None:
    """Replace the store by the new file, durably even if the machine loses power now."""
    _sync(unfinished)
    unfinished.replace(live)
    _sync(live.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(unfinished: Path) -> None:
    """Remove an unfinished file, if it is still there, and its log."""
    for path in (unfinished, unfinished.with_name(unfinished.name + ".wal")):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _remove_unfinished(store: Path) -> None:
    """Remove the files of compactions whose process has ended."""
    for path in store.parent.glob(f"{store.name}{UNFINISHED}*"):
        found = re.match(r"(\d+)-", path.name[len(store.name) + len(UNFINISHED) :])
        if found and not is_alive(int(found[1])):
            logger.info("removing %s, which an interrupted compaction left behind", path)
            with suppress(OSError):
                path.unlink(missing_ok=True)
