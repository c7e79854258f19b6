"""Brings the schema of a store up to date: numbered `.sql` files, all in the caller's transaction, none skipped.

Then it creates the macros of the newest schema.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import duckdb

from lumibot_duckdb.storage import macros
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import ReplicaError, StoreDamagedError, StoreVersionError
from lumibot_duckdb.storage.sql_files import migration_scripts
from lumibot_duckdb.storage.stored_values import reading

_WITH_OUTLINES = 5
"""The first schema with outlines, which SQL alone cannot compute."""
_WITH_MACROS = 8
"""The first schema with macros."""
_META = "SELECT key, value FROM {db}.store_meta"
REPLICA_OF = "replica_of"
"""The key in `store_meta` that makes a file a replica."""
_PUBLISHED = "published"
"""The key in `store_meta` of a replica that was published, to the place that it names as `replica_of`."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """The schema of a file (0: none yet), and the id that distinguishes it from another store at the same path.

    `replica_of` is the path of the store that a replica is of, or where a snapshot was `published`; "" for other files.
    """

    schema_version: int
    store_id: str
    replica_of: str = ""
    published: bool = False


def scripts() -> tuple[tuple[int, str], ...]:
    """Return the number and the SQL of every migration, in order."""
    return migration_scripts("lumibot_duckdb.storage")


def newest() -> int:
    """Return the schema version that this release writes."""
    return scripts()[-1][0]


def state(cursor: StoreCursor) -> StoreState:
    """Return the state of the open store. Raises if it is newer than this release, or not a store."""
    meta = _meta(cursor)
    if meta is None:
        return StoreState(0, "")
    with reading("store_meta"):
        read_only = (meta.get(REPLICA_OF, ""), _PUBLISHED in meta)
        found = StoreState(int(meta["schema_version"]), meta["store_id"], *read_only)
    if found.schema_version > newest():
        raise StoreVersionError(
            f"the store was written by a newer release of lumibot-duckdb (schema {found.schema_version}; this one "
            f"knows up to {newest()}): upgrade the package"
        )
    return found


def _meta(cursor: StoreCursor) -> dict[str, str] | None:
    """Return what the store says about itself; None if it has no tables yet. Raises if it is not a store."""
    if not cursor.in_transaction:  # a missing table would end that
        with suppress(duckdb.CatalogException):
            return dict(cursor.rows(_META))
    # Without parameters: on DuckDB 1.5 the first query of a process that has some imports pandas.
    found_tables = cursor.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = '{db}'")
    tables = {name for (name,) in found_tables}
    if not tables:
        return None
    if "store_meta" not in tables:
        raise StoreDamagedError(
            f"the file is a DuckDB database but not a lumibot-duckdb store (it has {', '.join(sorted(tables)[:5])}); "
            "choose another path"
        )
    return dict(cursor.rows(_META))


def migrate(
    cursor: StoreCursor, build_outlines: Callable[[StoreCursor], None], *, with_macros: bool = True
) -> StoreState:
    """Upgrade the open store to the newest schema, inside a `write()` block; return its new state.

    `build_outlines` stores the outlines of a store that is older than these. A file that becomes a copy of a store is
    made without macros, and gets them from that store. Raises `ReplicaError` for a replica, which nobody writes.
    """
    found = state(cursor)
    refuse_read_only(found)
    if found.schema_version == newest():
        return found
    for number, script in scripts():
        if number > found.schema_version:
            cursor.execute(script)
    if 0 < found.schema_version < _WITH_OUTLINES <= newest():
        build_outlines(cursor)
    if with_macros:
        add_macros(cursor, new_store=found.schema_version == 0)
    if found.schema_version == 0:
        found = StoreState(0, uuid.uuid4().hex)
        cursor.execute("INSERT INTO {db}.store_meta VALUES ('schema_version', ''), ('store_id', ?)", [found.store_id])
    cursor.execute("UPDATE {db}.store_meta SET value = ? WHERE key = 'schema_version'", [str(newest())])
    return StoreState(newest(), found.store_id)


def refuse_read_only(found: StoreState) -> None:
    """Raise `ReplicaError` for a published snapshot and for a replica, which nobody writes."""
    refuse_published(found)
    if found.replica_of:
        raise ReplicaError(
            f"this file is a replica of {found.replica_of}, which is only read: write to that store, and then refresh "
            "the replica with `lumibot-duckdb replica`"
        )


def refuse_published(found: StoreState) -> None:
    """Raise `ReplicaError` for a published snapshot, which nobody writes, and which lacks what a store has."""
    if found.published:
        raise ReplicaError(
            f"this store is a snapshot that was published to {found.replica_of}, which is only read: write to the "
            "published store, and publish it again; or set LUMIBOT_DUCKDB_OVERLAY to a folder for a writable copy"
        )


def begin_publication(cursor: StoreCursor, location: str) -> None:
    """Turn a new copy of a store into a snapshot that is published to a location."""
    cursor.execute("INSERT INTO {db}.store_meta VALUES (?, ?), (?, 'true')", [REPLICA_OF, location, _PUBLISHED])


def end_publication(cursor: StoreCursor, store_id: str) -> None:
    """Turn a copy of a snapshot into an independent store, with an id that no other store has."""
    cursor.execute("DELETE FROM {db}.store_meta WHERE key IN (?, ?)", [REPLICA_OF, _PUBLISHED])
    cursor.execute("UPDATE {db}.store_meta SET value = ? WHERE key = 'store_id'", [store_id])


def add_macros(cursor: StoreCursor, *, new_store: bool) -> None:
    """Create the macros of the newest schema, instead of those of an earlier one."""
    if newest() >= _WITH_MACROS:
        macros.add_macros(cursor, "".join(script for _, script in scripts()), new_store=new_store)
