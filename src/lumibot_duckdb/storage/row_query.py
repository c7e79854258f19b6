"""Read-only SQL with Python tuples as its result, for programs that start for one query.

`DuckDBDataStorage.sql` returns an Arrow table. Importing Arrow and NumPy takes longer than a small query, so this
module imports neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.connection.engine import check_environment
from lumibot_duckdb.storage.connection.interruption import interruptibly
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreNotFoundError, StoreVersionError
from lumibot_duckdb.storage.readonly_sql import refusals, refuse_all_but_reading

_BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class QueryRows:
    """The result of a query: column names, DuckDB's names of their types, and the rows, which can be read once."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def query_rows(
    path: Path, query: str, *, wait_seconds: float = 30.0, upgrade: bool = True, allow_files: bool = False
) -> Iterator[QueryRows]:
    """Run one read-only statement over the store at `path`. Writers wait until the `with` block ends.

    With `allow_files`, the statement may also read other files.
    Raises `StoreNotFoundError`, `StoreBusyError` after `wait_seconds`, `StoreDamagedError`, `StoreVersionError` for a
    store of another release (of an older one only without `upgrade`), `duckdb.Error` for a query that fails, and
    ValueError for one that would write.
    """
    check_environment()
    connection = StoreConnection.of(path, wait_seconds=wait_seconds)
    try:
        _check_version(connection, upgrade)
        refuse_all_but_reading(query)
        with connection.query(allow_files=allow_files) as duck:
            with refusals():
                interruptibly(duck, lambda: duck.execute(query))
            columns = duck.description or []
            yield QueryRows(
                tuple(name for name, *_ in columns), tuple(str(kind) for _, kind, *_ in columns), _fetched(duck)
            )
    finally:
        connection.close()


def _fetched(duck: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while True:
        with refusals():
            batch = interruptibly(duck, lambda: duck.fetchmany(_BATCH_ROWS))
        if not batch:
            return
        yield from batch


def _check_version(connection: StoreConnection, upgrade: bool) -> None:
    """Migrate a store of an older schema, as `DuckDBDataStorage` does when it is first used."""
    version = 0
    if connection.exists():
        with connection.read() as cursor:
            version = migrations.state(cursor).schema_version
    if version == 0:
        raise StoreNotFoundError(f"there is no store at {connection.path} yet; store some bars first")
    if version == migrations.newest():
        return
    if not upgrade:
        raise StoreVersionError(f"the store at {connection.path} was written by an older release")
    from lumibot_duckdb.storage.bars.upgrade import build_outlines  # imports NumPy and Arrow

    with connection.write() as cursor:
        migrations.migrate(cursor, build_outlines)
