"""The SQL macros that a store has, for every DuckDB client: bars of any timeframe, and indicators.

They are part of the schema: `sql/macros` defines them, and migrations create them. Creating them takes as long as
everything else that a new store needs. So this is done once in a DuckDB instance, in a database in memory, the model.
Stores get copies of its catalog, which takes two milliseconds.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Collection
from functools import cache
from importlib.resources import files

import duckdb

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import StorageError

logger = logging.getLogger(__name__)

_MODEL = "lumibot_duckdb_macros"
_INCOMPLETE_MODEL = "lumibot_duckdb_some_macros"
_OURS = "lumibot-duckdb"
"""The comment on each of our macros in a store. One without it is a user's."""
_DEFINITION = re.compile(r"^CREATE OR REPLACE MACRO {db}\.(\w+)\([^)]*\) AS( TABLE)?\b", re.MULTILINE)
_PLACEHOLDER = """
CREATE TEMP MACRO resample(symbol, timeframe, source := NULL, asset_type := NULL) AS TABLE SELECT symbol + symbol;
"""
"""Takes the place of `resample` while the other macros are created. DuckDB binds each one together with those that it
uses, which is `resample` for most. It stops at an expression whose type depends on an argument, such as this sum."""
_guard = threading.Lock()


@cache
def scripts() -> tuple[str, ...]:
    """Return the files of macros, in the order in which they are created. The first one has `resample`."""
    folder = files("lumibot_duckdb.storage") / "sql" / "macros"
    return tuple(file.read_text("utf-8") for file in sorted(folder.iterdir(), key=lambda file: file.name))


@cache
def definitions() -> str:
    """Return the SQL that creates all macros; `{db}` stands for the name of the store."""
    return "\n".join(scripts())


@cache
def defined() -> frozenset[str]:
    """Return what `DROP` calls each macro: "MACRO sma", "MACRO TABLE sma". Both kinds may have the same name."""
    return frozenset(f"MACRO{of_table} {name}" for name, of_table in _DEFINITION.findall(definitions()))


def create(duck: duckdb.DuckDBPyConnection, db: str, sql: str) -> None:
    """Create macros in the database `db`, which is in use and has the tables of a store."""
    duck.execute(_PLACEHOLDER)
    duck.execute(sql.replace("{db}", db))
    duck.execute("DROP MACRO TABLE temp.resample")


def add_macros(cursor: StoreCursor, tables: str, *, new_store: bool) -> None:
    """Create the macros in a store, within its transaction, instead of those of an earlier release.

    `tables` is SQL that creates the tables of a store. A user's own macro is kept, with a warning if one of ours has
    its name. Raises `StorageError` if a new store has such a macro.
    """
    kept = set() if new_store else _remove_ours(cursor)
    with _guard:
        if kept:
            _create_model(cursor, _INCOMPLETE_MODEL, tables, without=kept)
            try:
                cursor.execute(f"COPY FROM DATABASE {_INCOMPLETE_MODEL} TO {{db}} (SCHEMA)")
            finally:
                with cursor.other_connection() as duck:
                    duck.execute(f"DETACH {_INCOMPLETE_MODEL}")
            return
        if not cursor.rows(f"SELECT 1 FROM duckdb_databases() WHERE database_name = '{_MODEL}'"):
            _create_model(cursor, _MODEL, tables)
    try:
        cursor.execute(f"COPY FROM DATABASE {_MODEL} TO {{db}} (SCHEMA)")
    except duckdb.CatalogException as error:
        raise StorageError(
            f"the database has a macro with the name of one that a store has: {error}; choose another path"
        ) from error


def _remove_ours(cursor: StoreCursor) -> set[str]:
    """Remove our macros from a store; return the user's own with the names of ours."""
    found = cursor.rows(
        "SELECT DISTINCT if(function_type = 'macro', 'MACRO ', 'MACRO TABLE ') || function_name, comment "
        "FROM duckdb_functions() "
        "WHERE database_name = '{db}' AND schema_name = 'main' AND function_type IN ('macro', 'table_macro')"
    )
    for macro in {macro for macro, comment in found if comment == _OURS}:
        kind, _, name = macro.rpartition(" ")
        cursor.execute(f"DROP {kind} {{db}}.{_quoted(name)}")
    kept = {macro for macro, comment in found if comment != _OURS and macro in defined()}
    if kept:
        logger.warning(
            "the store keeps its own %s instead of what lumibot-duckdb calls so: indicators that use it may fail",
            ", ".join(sorted(kept)),
        )
    return kept


def _create_model(cursor: StoreCursor, name: str, tables: str, without: Collection[str] = ()) -> None:
    """Attach a database in memory with the macros and nothing else to the instance."""
    with cursor.other_connection() as duck:
        duck.execute(f"ATTACH ':memory:' AS {name}")
        try:
            duck.execute(f"USE {name}")  # macros use one another, and tables, without the name of the store
            duck.begin()
            duck.execute(tables.replace("{db}", name))
            create(duck, name, definitions())
            duck.execute(";".join(f"DROP {macro}" for macro in without) or "SELECT 1")
            duck.execute(";".join(f"COMMENT ON {macro} IS '{_OURS}'" for macro in defined().difference(without)))
            drop_relations(duck, name)
            duck.commit()
        except BaseException:
            duck.rollback()
            duck.execute("USE memory")
            duck.execute(f"DETACH {name}")
            raise


def drop_relations(duck: duckdb.DuckDBPyConnection, name: str) -> None:
    """Drop all tables and views of an attached database."""
    for kind in ("view", "table"):
        found = duck.execute(
            f"SELECT schema_name, {kind}_name FROM duckdb_{kind}s() "
            f"WHERE database_name = '{name}' AND NOT internal ORDER BY {kind}_oid"
        ).fetchall()
        for schema, relation in reversed(found):  # the later ones may refer to earlier ones
            duck.execute(f"DROP {kind} {name}.{_quoted(schema)}.{_quoted(relation)}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _after_fork_in_child() -> None:
    global _guard
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
