"""Runs a user's SQL, which may read the store and do nothing else.

A `Sandbox` enforces that. What it refuses, and statements that have no place in it, raise the same ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.connection.interruption import deferred, interruptibly

if TYPE_CHECKING:
    import pyarrow as pa

_REFUSED = "only statements that read are allowed here (SELECT, FROM, WITH, DESCRIBE, EXPLAIN)"
_FILES = "a query reads the store and nothing else without allow_files=True (--allow-files on the command line)"
# Functions that do more than read, as far as the sandbox lets them, or run SQL from a string.
_DOERS = {
    *("arrow_scan", "arrow_scan_dumb", "pandas_scan", "python_arrow_scan", "python_map_function"),
    *("checkpoint", "force_checkpoint", "nextval", "setval"),
    *("create_external_resource", "deregister_external_resource", "destroy_external_resource"),
    *("register_external_resource", "register_external_resource_type"),
    *("disable_logging", "disable_profiling", "enable_logging", "enable_profiling"),
    *("json_execute_serialized_sql", "query", "truncate_duckdb_logs", "write_log"),
}


def run(
    duck: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Sequence[Any] | Mapping[str, Any] | None,
    max_rows: int | None = None,
) -> pa.Table:
    """Run a statement in a sandbox, after `refuse_all_but_reading`."""

    def answer() -> pa.Table:
        relation = duck.sql(query) if parameters is None else duck.sql(query, params=parameters)
        return (relation if max_rows is None else relation.limit(max_rows)).to_arrow_table()

    with refusals():
        return interruptibly(duck, answer)


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what the sandbox refuses as ValueError."""
    try:
        yield
    except duckdb.PermissionException as error:
        raise ValueError(f"{_FILES}: {error}") from error
    except duckdb.InvalidInputException as error:
        if "configuration has been locked" in str(error) or "attached in read-only mode" in str(error):
            raise ValueError(f"{_REFUSED}: {error}") from error
        raise


def refuse_all_but_reading(query: str) -> None:
    """Raise ValueError unless a query is one statement that only reads. This needs no store."""
    with deferred(), Engine.current().cursor() as duck:
        _refuse_all_but_reading(duck, query)


def _refuse_all_but_reading(duck: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = duck.extract_statements(query)
    if len(statements) != 1:
        raise ValueError(f"give one statement, not {len(statements)}")
    (statement,) = statements
    if statement.type == duckdb.StatementType.EXPLAIN:
        statement = _explained(duck, statement)
    if statement.type != duckdb.StatementType.SELECT:
        raise ValueError(f"{_REFUSED}, not {statement.type.name}")
    if called := _functions(duck, statement.query) & _DOERS:
        raise ValueError(f"{_REFUSED}, and {min(called)}() does more than that")


def _explained(duck: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> duckdb.Statement:
    """Return the statement that an EXPLAIN explains and, with ANALYZE, runs: the first part that can be parsed."""
    text = statement.query.encode()
    for place, _ in duckdb.tokenize(statement.query)[1:]:
        try:
            (found,) = duck.extract_statements(text[place:].decode())
        except (duckdb.ParserException, ValueError):
            continue
        return found
    return statement


def _functions(duck: duckdb.DuckDBPyConnection, select: str) -> set[str]:
    """Return the names of the functions that a SELECT calls, as DuckDB has parsed it."""
    literal = select.replace("'", "''")
    ((parsed,),) = duck.execute(f"SELECT json_serialize_sql('{literal}')").fetchall()
    found: set[str] = set()
    parts: list[Any] = [json.loads(parsed)]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            found.add(str(part.get("function_name", "")).lower())
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return found
