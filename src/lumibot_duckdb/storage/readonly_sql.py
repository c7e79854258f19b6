"""Runs a user's SQL, which may read the store and do nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import interruptibly

if TYPE_CHECKING:
    import pyarrow as pa

_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+|\([^)]*\)\s*)?", re.IGNORECASE)
# Functions that a SELECT may call and that do more than read, or run SQL from a string.
_DOERS = (
    "arrow_scan|arrow_scan_dumb|checkpoint|create_external_resource|deregister_external_resource|"
    "destroy_external_resource|disable_logging|disable_profiling|enable_logging|enable_profiling|force_checkpoint|"
    "json_execute_serialized_sql|pandas_scan|python_arrow_scan|python_map_function|query|register_external_resource|"
    "register_external_resource_type|setval|truncate_duckdb_logs|write_log"
)
_COMMENT = r"(?:/\*.*?\*/|--[^\n]*\n)"
_CALL_OF_DOER = re.compile(rf'\b({_DOERS})"?(?:\s|{_COMMENT})*\(', re.IGNORECASE | re.DOTALL)


def run(
    cursor: StoreCursor, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None, max_rows: int | None = None
) -> pa.Table:
    """Run one SELECT-like statement on the store's tables; raise ValueError for any other statement."""
    duck = cursor.execute("USE {db}")
    refuse_all_but_reading(duck, query)

    def answer() -> pa.Table:
        relation = duck.sql(query) if parameters is None else duck.sql(query, params=parameters)
        return (relation if max_rows is None else relation.limit(max_rows)).to_arrow_table()

    return interruptibly(duck, answer)


def refuse_all_but_reading(duck: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise ValueError unless a query is one statement that only reads."""
    statements = duck.extract_statements(query)
    if len(statements) != 1:
        raise ValueError(f"give one statement, not {len(statements)}")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        kind = _kind_of_explained(duck, statements[0].query) or kind
    if kind != duckdb.StatementType.SELECT:
        raise ValueError(
            f"only statements that read are allowed here (SELECT, FROM, WITH, DESCRIBE, EXPLAIN), not {kind.name}"
        )
    if called := _CALL_OF_DOER.search(query):
        raise ValueError(f"only statements that read are allowed here, and {called[1]}() does more than that")


def _kind_of_explained(duck: duckdb.DuckDBPyConnection, query: str) -> duckdb.StatementType | None:
    """Return the kind of statement that an EXPLAIN explains (and, with ANALYZE, runs); None if that is not clear."""
    try:
        (explained,) = duck.extract_statements(_EXPLAIN.sub("", query.strip(), count=1))
    except (duckdb.ParserException, ValueError):
        return None
    kind: duckdb.StatementType = explained.type
    return kind
