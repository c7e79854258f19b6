"""The table `bar`: its columns, and queries that may name a column which it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesPin
from lumibot_duckdb.storage.bars.layout import ColumnLayout
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import Int64Array

_BAR = "{db}.bar"
Answer = TypeVar("Answer")


def bar_columns(cursor: StoreCursor) -> list[tuple[str, str]]:
    """Return name and type of every column of `bar`."""
    return cursor.rows(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND table_name = 'bar' "
        "ORDER BY column_index",
        [cursor.db],
    )


def pinned_rows(pin: SeriesPin) -> str:
    """Return the SQL condition for the rows of `bar` that a pin shows."""
    return f"version_id = {pin.version_id} AND ingest_id <= {pin.ingest_id}"


def add_missing_columns(cursor: StoreCursor, columns: Iterable[tuple[str, str]]) -> None:
    """Add those of some columns (name and type) to `bar` that it lacks."""
    known = {name for name, _ in bar_columns(cursor)}
    for name, sql_type in columns:
        if name not in known:
            cursor.execute(f'ALTER TABLE {{db}}.bar ADD COLUMN "{name}" {sql_type}')


def stored_rows(
    cursor: StoreCursor, columns: Sequence[ColumnLayout], condition: str, further: Sequence[str] = ()
) -> pa.Table:
    """Return `ts` and the stored form of some columns, for the rows of `bar` that meet a condition, in any order.

    `further` are columns of `bar` itself.
    """
    names = ["ts", *further, *(f'"{name}"' for column in columns for name, _ in column.physical_columns())]
    return over_bars(cursor, cursor.arrow, f"SELECT {', '.join(names)} FROM {{bar}} WHERE {condition}", columns)


def in_time_order(table: pa.Table) -> tuple[pa.Table, Int64Array]:
    """Return a stored table sorted by `ts`, and its bar starts in epoch seconds.

    Rows are nearly always in order already, and sorting costs more than reading.
    """
    # A copy: whoever keeps a view keeps all columns of the result in memory, since DuckDB hands them over as a whole.
    times: Int64Array = single_array(table["ts"]).view(pa.int64()).to_numpy().copy()
    if len(times) < 2 or bool((times[1:] > times[:-1]).all()):
        return table, times
    order = np.argsort(times, kind="stable")
    return table.take(pa.array(order)), times[order]


def single_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of a table as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def over_bars(cursor: StoreCursor, run: Callable[[str], Answer], query: str, columns: Sequence[ColumnLayout]) -> Answer:
    """Return what `run`, a method of the cursor, returns for a query of some columns of `{bar}`.

    Earlier releases recorded columns that never had a value without adding them to `bar`. Those are read as empty.
    """
    try:
        return run(query.replace("{bar}", _BAR))
    except duckdb.BinderException:
        there = {name for name, _ in bar_columns(cursor)}
        lacking = [each for column in columns for each in column.physical_columns() if each[0] not in there]
        if not lacking:
            raise
        nothing = ", ".join(f'NULL::{sql_type} AS "{name}"' for name, sql_type in lacking)
        return run(query.replace("{bar}", f"(SELECT *, {nothing} FROM {_BAR})"))
