"""Copies the bars of a store into a new file, in the order in which they are read, while others read and write.

Most bars are copied a piece at a time, and others work in between. Then, while nobody writes, what they changed is
added, and everything but bars. Compaction, backups and replicas are made in this way; they differ in the versions that
they keep and in what becomes of the new file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, zip_longest
from pathlib import Path
from time import monotonic, sleep
from typing import TypeAlias

import duckdb
import pyarrow as pa

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnRows
from lumibot_duckdb.storage.bars.columns import add_missing_columns, bar_columns
from lumibot_duckdb.storage.bars.upgrade import build_outlines
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.duckdb_errors import damaged_block, is_attached_here
from lumibot_duckdb.storage.connection.engine import NEW_FILE, attach, spill_folder
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import ReplicaError, StorageError, StoreDamagedError
from lumibot_duckdb.storage.sql_times import epoch_sql, timestamp_literal
from lumibot_duckdb.storage.upkeep.checksum_copy import MissingChecksums
from lumibot_duckdb.storage.upkeep.users_objects import copy_macros, copy_users_objects

# Each row group leaves the last block of every column partly empty, so larger groups make a smaller file.
_ROW_GROUP = 2 * 122_880
# Rows of a large version that are read, sorted and written at a time: about 50 MB with ten columns.
_ROWS_AT_A_TIME = 2 * _ROW_GROUP
_BY_VERSION = {"series_version": "version_id", "outline": "version_id, block", "repeated_bar": "version_id, ts"}
"""Tables besides `bar` that have rows by version, and their order: only rows of kept versions are copied."""
_CHECKSUMS = "bar_checksum"  # also by version, and completed
_COVERAGE = "coverage"
_KEPT = "lumibot_duckdb_kept"
_RECENT = "lumibot_duckdb_recent"
_INCOMING = "lumibot_duckdb_batch"

_LETTING_GO_SECONDS, _LOOK_SECONDS = 10.0, 0.02

NO_END = 2**31 - 1
"""Above every id of a write."""

VersionsOf: TypeAlias = "Callable[[StoreCursor], set[int]]"
"""Returns the ids of the versions that are kept."""
ConditionsOf: TypeAlias = "Callable[[StoreCursor], Mapping[str, str]]"
"""Returns the SQL conditions for the rows of tables that are not copied whole, by table."""


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """What a copy has, and what it lacks of the store."""

    series: int
    rows: int
    rows_left_out: int
    versions_left_out: int


@dataclass(frozen=True, slots=True)
class Piece:
    """About so many rows that are copied together: whole versions of one row group, or a stretch of a large version.

    If short versions began in one row group and ended in the next, reading one would go through both.
    """

    versions: tuple[int, int]
    rows: int
    times: tuple[int, int] | None = None

    def condition(self) -> str:
        """Return the SQL condition for these rows of `bar`."""
        text = f"version_id BETWEEN {self.versions[0]} AND {self.versions[1]}"
        if self.times is not None:
            text += f" AND ts >= {timestamp_literal(self.times[0])} AND ts < {timestamp_literal(self.times[1])}"
        return text


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
        """Attach the store as `old`, for reading. After an error the new file is of no use, so the instance is closed.

        Raises `StoreDamagedError` if a part of the store cannot be read.
        """
        try:
            _attach_detached(self.duck, path, "old")
            yield StoreCursor("old", self.duck)
        except BaseException as error:
            self.duck.close()  # DETACH would fail in a transaction that is aborted
            damage = damaged_block(path, error)
            if damage is None:
                raise
            raise damage from error
        self.duck.execute("DETACH old")

    def detach(self) -> None:
        """Finish the new file: everything is in it, and no log beside it."""
        self.execute("CHECKPOINT new")
        self.execute("DETACH new")


def _attach_detached(duck: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    """Attach a store for reading that this process has just detached.

    DuckDB lets go of a detached file when its threads have dropped the last query, which may be a moment later.
    """
    deadline = monotonic() + _LETTING_GO_SECONDS
    while True:
        try:
            return attach(duck, path, name, "READ_ONLY")
        except duckdb.Error as error:
            if not is_attached_here(error) or monotonic() > deadline:
                raise
        sleep(_LOOK_SECONDS)


@contextmanager
def new_file(path: Path, memory_limit: str = "256MB") -> Iterator[NewFile]:
    """Create a file, in an instance that is closed at the end."""
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
class Copied:
    """What the first part of a copy has: these versions, up to that ingest (None: there was none)."""

    store_id: str
    last_ingest: int
    ingested_at: datetime | None
    versions: frozenset[int]
    checksums: MissingChecksums


def copy_most(
    connection: StoreConnection, new: NewFile, kept: VersionsOf, on_rows: OnRows | None, *, up_to: int = NO_END
) -> Copied:
    """Copy the present bars, a piece at a time, and let others work in between; only those of writes `up_to` an id."""
    with connection.read() as cursor:
        state = migrations.state(cursor)
        migrations.refuse_published(state)
        if state.replica_of:
            raise ReplicaError(f"{connection.path} is a replica of {state.replica_of}: name that store")
        last_ingest, ingested_at = _last_ingest(cursor)
        versions = kept(cursor)
        todo = pieces(cursor, versions)
        columns = bar_columns(cursor)
        checksums = MissingChecksums(cursor)
    make_tables(new, columns)
    names = quoted(columns)
    done, total = 0, sum(piece.rows for piece in todo)
    waiting: pa.Table | None = None
    for piece, following in zip_longest(todo, todo[1:]):
        with connection.read() as cursor:
            _register_ids(cursor, _KEPT, versions)
            rows = cursor.arrow(
                f"SELECT {names} FROM {{db}}.bar WHERE {piece.condition()} AND ingest_id <= {min(last_ingest, up_to)} "
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
        if waiting is None and following is not None:
            new.execute("CHECKPOINT new")  # so that the next rows begin a row group
        done += piece.rows
        if on_rows is not None:
            on_rows(done, total)
    return Copied(state.store_id, last_ingest, ingested_at, frozenset(versions), checksums)


def make_tables(new: NewFile, columns: list[tuple[str, str]]) -> None:
    """Make the tables of a store, with these columns of `bar`, but no macros."""
    migrations.migrate(new.cursor, build_outlines, with_macros=False)
    add_missing_columns(new.cursor, columns)


def _insert(new: NewFile, names: str, rows: pa.Table) -> None:
    new.cursor.register(_INCOMING, rows)
    new.cursor.execute(f"INSERT INTO {{db}}.bar ({names}) SELECT {names} FROM {_INCOMING}")
    new.cursor.unregister(_INCOMING)


def copy_rest(
    new: NewFile,
    live: Path,
    kept: VersionsOf,
    copied: Copied,
    copy_coverage: Callable[[NewFile, StoreCursor], None] | None = None,
    *,
    up_to: int = NO_END,
    conditions_of: ConditionsOf | None = None,
) -> StoreCopy:
    """Copy recent changes, and everything but bars, while nobody writes to the store. It must not be attached here.

    `copy_coverage` copies the coverage; by default, it is copied unchanged. `up_to` is as for `copy_most`, and
    `conditions_of` chooses among the rows of the other tables.
    """
    with new.with_old(live) as old:
        _refuse_another(old, live, copied)
        versions = kept(old)
        _register_ids(new.cursor, _KEPT, versions)
        # With NOT IN, every row would be looked at; with IN, only those around these ids, which are the newest.
        _register_ids(new.cursor, _RECENT, versions - copied.versions)
        new.duck.begin()
        _copy_recent_bars(new, old, copied, up_to)
        new.execute("DELETE FROM new.store_meta")
        conditions = {} if conditions_of is None else conditions_of(old)
        for table in whole_tables(new.cursor):
            if table != _COVERAGE or copy_coverage is None:
                which = conditions.get(table, "true")
                new.execute(f'INSERT INTO new."{table}" BY NAME SELECT * FROM old."{table}" WHERE {which}')
        for table, order in _BY_VERSION.items():
            new.execute(
                f"INSERT INTO new.{table} SELECT * FROM old.{table} WHERE version_id IN (FROM {_KEPT}) ORDER BY {order}"
            )
        copied.checksums.complete(new.cursor, old, versions)
        if copy_coverage is not None:
            copy_coverage(new, old)
        new.duck.commit()
        copy_macros(old, new.cursor)
        copy_users_objects(old, new.cursor)
        return _checked(new, old, len(versions), up_to)


def _refuse_another(old: StoreCursor, live: Path, copied: Copied) -> None:
    state = migrations.state(old)
    found = old.rows("SELECT ingested_at FROM {db}.ingest WHERE ingest_id = ?", [copied.last_ingest])
    continued = found == ([] if copied.ingested_at is None else [(copied.ingested_at,)])
    if state.store_id != copied.store_id or state.schema_version != migrations.newest() or not continued:
        raise StorageError(
            f"{live} was replaced by another store while it was copied, so the copy is given up; try again"
        )


def _copy_recent_bars(new: NewFile, old: StoreCursor, copied: Copied, up_to: int) -> None:
    columns = bar_columns(old)
    names = quoted(columns)
    add_missing_columns(new.cursor, columns)
    new.execute(f"DELETE FROM new.bar WHERE version_id NOT IN (FROM {_KEPT})")
    for condition in (
        f"version_id IN (FROM {_RECENT})",
        f"version_id IN (FROM {_KEPT}) AND version_id NOT IN (FROM {_RECENT}) AND ingest_id > {copied.last_ingest}",
    ):
        new.execute(
            f"INSERT INTO new.bar ({names}) SELECT {names} FROM old.bar WHERE {condition} AND ingest_id <= {up_to} "
            "ORDER BY version_id, ts"
        )


def whole_tables(cursor: StoreCursor) -> list[str]:
    """Return the tables that are copied whole. Tables that later schemas add are among them."""
    found = cursor.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = '{db}' ORDER BY table_oid")
    return [name for (name,) in found if name not in ("bar", _CHECKSUMS, *_BY_VERSION)]


def _checked(new: NewFile, old: StoreCursor, versions: int, up_to: int) -> StoreCopy:
    ((rows, expected),) = old.rows(
        f"SELECT count(*), count(*) FILTER (version_id IN (FROM {_KEPT}) AND ingest_id <= {up_to}) FROM {{db}}.bar"
    )
    ((written,),) = new.cursor.rows("SELECT count(*) FROM {db}.bar")
    if written != expected:
        raise StoreDamagedError(f"copying would have changed {expected} bars into {written}; run `verify`")
    ((of_all,),) = old.rows("SELECT count(*) FROM {db}.series_version")
    ((series,),) = old.rows("SELECT count(*) FROM {db}.series")
    return StoreCopy(series, written, rows - written, of_all - versions)


def _last_ingest(cursor: StoreCursor) -> tuple[int, datetime | None]:
    ((last, at),) = cursor.rows("SELECT coalesce(max(ingest_id), 0), arg_max(ingested_at, ingest_id) FROM {db}.ingest")
    return last, at


def quoted(columns: list[tuple[str, str]]) -> str:
    """Return the names of columns as a list in SQL."""
    return ", ".join(f'"{name}"' for name, _ in columns)


def _register_ids(cursor: StoreCursor, name: str, ids: Iterable[int]) -> None:
    cursor.register(name, pa.table({"version_id": pa.array(sorted(ids), pa.int32())}))


def all_versions(cursor: StoreCursor) -> set[int]:
    """Return the ids of all versions."""
    return {version_id for (version_id,) in cursor.rows("SELECT version_id FROM {db}.series_version")}


def current_versions(cursor: StoreCursor) -> set[int]:
    """Return the ids of the current versions."""
    return {version_id for (version_id,) in cursor.rows("SELECT current_version FROM {db}.series")}


def pieces(cursor: StoreCursor, versions: set[int], most_rows: int | None = None) -> list[Piece]:
    """Split the bars into pieces, in order: whole versions, or a part of a large one, of at most about so many rows.

    By default, a piece is what is copied at a time: whole versions of one row group, or a part of a large version.
    """
    together, most_rows = most_rows or _ROW_GROUP, most_rows or _ROWS_AT_A_TIME
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
        if first is not None and last is not None and rows + count > together:
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
