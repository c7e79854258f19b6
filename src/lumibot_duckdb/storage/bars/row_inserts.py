"""Inserts rows of records into a table of the store. Everything here runs inside one transaction of the caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import timestamp_literal

_INSERTED = "lumibot_duckdb_inserted"


def rows_of(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return rows as a table. A time in seconds is given in epoch seconds."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


def insert_rows(cursor: StoreCursor, table: str, schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, whose columns are those of a table. A time in seconds is given in epoch seconds."""
    if len(rows) == 1:  # as for most writes, and faster than a table
        given = list(zip(rows[0], schema.types, strict=True))
        seconds = pa.timestamp("s")
        texts = [timestamp_literal(value) if kind == seconds and value is not None else "?" for value, kind in given]
        values = [value for (value, _), text in zip(given, texts, strict=True) if text == "?"]
        cursor.execute(f"INSERT INTO {{db}}.{table} VALUES ({', '.join(texts)})", values)
    elif rows:
        cursor.register(_INSERTED, rows_of(schema, rows))
        cursor.execute(f"INSERT INTO {{db}}.{table} SELECT * FROM {_INSERTED}")
        cursor.unregister(_INSERTED)
