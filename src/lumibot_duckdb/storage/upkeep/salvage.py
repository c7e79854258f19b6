"""Salvage: copies what can be read of a store with damaged blocks into a new file, which takes its place.

The damaged file is kept beside it, and the new one is repaired before it takes its place. Bars of superseded versions
that lost some are left out, so a pin raises `VersionGoneError` instead of showing fewer bars. The checksums, which are
copied, tell what current versions lost. Coverage that cannot be read is lost, so the next backtest requests it
again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb
import pyarrow as pa

from lumibot_duckdb.storage.bars.columns import bar_columns
from lumibot_duckdb.storage.bars.series_records import delete_versions
from lumibot_duckdb.storage.bars.snapshots import kept_versions
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.connection.duckdb_errors import damage_reason
from lumibot_duckdb.storage.connection.engine import attach
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreDamagedError
from lumibot_duckdb.storage.upkeep.replacement import put_in_place, unfinished
from lumibot_duckdb.storage.upkeep.store_copy import NewFile, make_tables, new_file, whole_tables
from lumibot_duckdb.storage.upkeep.users_objects import copy_macros, copy_users_objects

_ROW_GROUP = 122_880
_LEAST_ROWS = 2_048  # as many as DuckDB reads at a time
_MEMORY = "256MB"
_COMPUTED = ("outline", "repeated_bar", "bar_checksum")
_IN_PART = ("bar", "coverage")
"""Tables of which those rows are copied that can be read: without the others, the store has and claims less."""
_OF_THE_VIEW = ("asset", "series", "ingest")
"""The tables besides `bar` that the view `ohlcv_data` reads."""
_INCOMING = "lumibot_duckdb_salvaged"

Answer = TypeVar("Answer")


def irreplaceable(tables: Iterable[str]) -> list[str]:
    """Return those of some tables without which nothing can be salvaged."""
    return [table for table in tables if table not in (*_IN_PART, *_COMPUTED)]


def without_salvage(tables: Collection[str]) -> str:
    """Return what helps if blocks of these tables cannot be read, and one of them is irreplaceable."""
    text = "Restore a backup (lumibot-duckdb restore)"
    if "bar" in tables:
        return text
    if set(tables).isdisjoint(_OF_THE_VIEW):
        return f'{text}, or save the bars first: lumibot-duckdb export --query "select * from ohlcv_data"'
    return (
        f'{text}. All bars can be saved, but without their symbols: lumibot-duckdb export --query "select * from bar"'
    )


class Lost(NamedTuple):
    """How many bars and covered ranges could not be read."""

    bars: int
    ranges: int


def salvage(connection: StoreConnection, finish: Callable[[Path], None]) -> tuple[Lost, Path]:
    """Replace the store by a file with what can be read; return what is lost, and where the damaged file is.

    `finish` makes the new file sound before it takes its place: the store never has less than its coverage claims.
    Raises `StoreDamagedError` if the damage is in a table that cannot be computed again.
    """
    path = connection.path
    with (
        writing("nothing was repaired", needs=(path.stat().st_size, path.parent)),
        unfinished(path, "salvaging") as file,
        deferred(),
        new_file(file, _MEMORY) as new,
        connection.exclusive() as live,
    ):
        lost = _Salvage(live, new).run()
        new.detach()
        finish(file)
        kept = _kept_beside(live)
        put_in_place(file, live)
        return lost, kept


class _Salvage:
    """Copies a damaged store. Each read is by an engine of its own if the last one failed: a damaged block ends it."""

    def __init__(self, damaged: Path, new: NewFile) -> None:
        self._damaged = damaged
        self._new = new
        self._duck: duckdb.DuckDBPyConnection | None = None
        self._lost = dict.fromkeys(_IN_PART, 0)

    def run(self) -> Lost:
        """Copy everything; return what was lost."""
        try:
            make_tables(self._new, self._read(bar_columns))
            self._new.execute("DELETE FROM new.store_meta")
            whole = [table for table in whole_tables(self._new.cursor) if table not in _IN_PART]
            for table in (*whole, "series_version", *_COMPUTED):
                self._copy_table(table)
            for table in _IN_PART:
                self._copy_part(table)
            self._leave_out_superseded()
            self._close()
            with self._new.with_old(self._damaged) as old:
                copy_macros(old, self._new.cursor)
                copy_users_objects(old, self._new.cursor)
            return Lost(self._lost["bar"], self._lost["coverage"])
        finally:
            self._close()

    def _read(self, read: Callable[[StoreCursor], Answer]) -> Answer:
        if self._duck is None:
            self._duck = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": _MEMORY})
            attach(self._duck, self._damaged, "old", "READ_ONLY")
        try:
            return read(StoreCursor("old", self._duck))
        except duckdb.Error:
            self._close()
            raise

    def _close(self) -> None:
        if self._duck is not None:
            self._duck.close()
            self._duck = None

    def _copy_table(self, table: str) -> None:
        try:
            rows = self._read(lambda old: old.arrow(f"SELECT * FROM {{db}}.{table}"))
        except duckdb.Error as error:
            if table in _COMPUTED:
                return
            raise StoreDamagedError(
                f"table {table} of {self._damaged} cannot be read, and nothing else has what is in it: "
                f"{damage_reason(error)}. {without_salvage([table])}"
            ) from error
        self._insert(f"new.{table}", rows)

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._new.cursor.register(_INCOMING, rows)
        self._new.execute(f"INSERT INTO {table} BY NAME SELECT * FROM {_INCOMING}")
        self._new.cursor.unregister(_INCOMING)

    def _copy_part(self, table: str) -> None:
        """Copy the rows of a table that can be read."""
        ((end,),) = self._read(lambda old: old.rows(f"SELECT coalesce(max(rowid), -1) + 1 FROM {{db}}.{table}"))
        for first in range(0, end, _ROW_GROUP):
            self._copy_rows(table, first, min(end, first + _ROW_GROUP))

    def _copy_rows(self, table: str, first: int, end: int) -> None:
        """Copy a range of rows; if it cannot be read, its halves."""
        which = f"FROM {{db}}.{table} WHERE rowid >= {first} AND rowid < {end}"
        try:
            rows = self._read(lambda old: old.arrow(f"SELECT * {which}"))
        except duckdb.Error:
            if end - first <= _LEAST_ROWS:
                # Without those that were deleted; this reads no column.
                ((rows_there,),) = self._read(lambda old: old.rows(f"SELECT count(*) {which}"))
                self._lost[table] += rows_there
                return
            middle = (first + (end - first) // 2 + _LEAST_ROWS - 1) // _LEAST_ROWS * _LEAST_ROWS
            self._copy_rows(table, first, min(middle, end - 1))
            self._copy_rows(table, min(middle, end - 1), end)
            return
        self._insert(f"new.{table}", rows)

    def _leave_out_superseded(self) -> None:
        """Leave out superseded versions that do not have all their bars, unless a snapshot needs them."""
        kept = kept_versions(self._new.cursor)
        incomplete = self._new.cursor.rows("""
            SELECT version_id FROM {db}.series_version
            JOIN (
                SELECT version_id, arg_max(version_rows, ingest_id) AS total FROM {db}.ingest GROUP BY version_id
            ) USING (version_id)
            LEFT JOIN (SELECT version_id, count(*) AS present FROM {db}.bar GROUP BY version_id) USING (version_id)
            WHERE superseded_at IS NOT NULL AND total <> coalesce(present, 0)
        """)
        for version_id in {version_id for (version_id,) in incomplete} - kept:
            delete_versions(self._new.cursor, [version_id])


def _kept_beside(store: Path) -> Path:
    """Give the damaged file a second name; return it."""
    number = 1
    while (kept := store.with_name(f"{store.name}.damaged-{number}")).exists():
        number += 1
    try:
        os.link(store, kept)
    except OSError:  # a file system without links
        shutil.copy2(store, kept)
    return kept
