"""Copies what a store has besides its own tables: macros, and what users created in it with a DuckDB client."""

from __future__ import annotations

import logging

import duckdb

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.duckdb_errors import damage_reason
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.macros import drop_relations

logger = logging.getLogger(__name__)

_TABLES = "SELECT table_name, sql FROM duckdb_tables() WHERE database_name = '{db}' ORDER BY table_oid"
_VIEWS = "SELECT view_name, sql FROM duckdb_views() WHERE database_name = '{db}' AND NOT internal ORDER BY view_oid"
_CATALOG = "lumibot_duckdb_catalog"


def copy_macros(old: StoreCursor, new: StoreCursor) -> None:
    """Copy all macros of the store `old`, the users' too, and with them users' types, sequences and schemas.

    Both are attached to one instance, outside of a transaction, and `new` has no macros.
    """
    with new.other_connection() as duck:
        # By way of a catalog without data, because `new` has the tables already, and SQL does not show all of a macro.
        duck.execute(f"ATTACH ':memory:' AS {_CATALOG}")
        try:
            duck.execute(f"COPY FROM DATABASE {old.db} TO {_CATALOG} (SCHEMA)")
            drop_relations(duck, _CATALOG)
            duck.execute(f"COPY FROM DATABASE {_CATALOG} TO {new.db} (SCHEMA)")
        except duckdb.Error as error:
            raise StorageError(
                f"the store has macros, types or sequences that cannot be copied: {damage_reason(error)}"
            ) from error
        finally:
            duck.execute(f"DETACH {_CATALOG}")


def copy_users_objects(old: StoreCursor, new: StoreCursor) -> None:
    """Copy what is in the store `old` but in no store that this package creates, which `new` is.

    Both are attached to one instance, outside of a transaction. A view that does not work in the copy is left out, with
    a warning. Raises `StorageError` for a table that cannot be copied.
    """
    tables, views = _unknown(old, new, _TABLES), _unknown(old, new, _VIEWS)
    if not tables and not views:
        return
    new.execute("USE {db}")
    try:
        for name, sql in tables:
            try:
                new.execute(sql)
                new.execute(f'INSERT INTO {{db}}."{name}" SELECT * FROM {old.db}."{name}"')
            except duckdb.Error as error:
                raise StorageError(
                    f"the store has a table {name}, not of lumibot-duckdb, which cannot be copied: "
                    f"{damage_reason(error)}. Export and drop it, and try again"
                ) from error
        for name, sql in views:
            try:
                new.execute(sql)
            except duckdb.Error as error:
                logger.warning("the copy lacks the view %s, which would not work there: %s", name, damage_reason(error))
    finally:
        new.execute("USE memory")


def _unknown(old: StoreCursor, new: StoreCursor, query: str) -> list[tuple[str, str]]:
    known = {name for name, _ in new.rows(query)}
    return [(name, sql) for name, sql in old.rows(query) if name not in known]
