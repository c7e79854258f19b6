"""The table `bar` itself: which columns it has, and queries of it that name one which it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import duckdb
import pyarrow as pa

from lumibot_duckdb.storage.bars.layout import ColumnLayout
from lumibot_duckdb.storage.connection.store_connection import StoreCursor

_BAR = "{db}.bar"
Answer = TypeVar("Answer")


def bar_columns(cursor: StoreCursor) -> list[tuple[str, str]]:
    """Return name and type of every column of `bar`."""
    return cursor.rows(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND table_name = 'bar' "
        "ORDER BY column_index",
        [cursor.db],
    )


def stored_rows(cursor: StoreCursor, columns: Sequence[ColumnLayout], condition: str) -> pa.Table:
    """Return `ts` and what is stored of some columns, of the rows of `bar` that meet a condition."""
    names = ["ts", *(f'"{name}"' for column in columns for name, _ in column.physical_columns())]
    return over_bars(cursor, cursor.arrow, f"SELECT {', '.join(names)} FROM {{bar}} WHERE {condition}", columns)


def over_bars(cursor: StoreCursor, ask: Callable[[str], Answer], query: str, columns: Sequence[ColumnLayout]) -> Answer:
    """Return what `ask` (of the cursor) answers to a query of some columns of `{bar}`.

    Stores of earlier releases note columns that never had a value, and that `bar` did not get. Those are empty.
    """
    try:
        return ask(query.replace("{bar}", _BAR))
    except duckdb.BinderException:
        there = {name for name, _ in bar_columns(cursor)}
        lacking = [each for column in columns for each in column.physical_columns() if each[0] not in there]
        if not lacking:
            raise
        nothing = ", ".join(f'NULL::{sql_type} AS "{name}"' for name, sql_type in lacking)
        return ask(query.replace("{bar}", f"(SELECT *, {nothing} FROM {_BAR})"))
