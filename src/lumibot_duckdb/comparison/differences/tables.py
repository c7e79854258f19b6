"""Compares tables row by row: trades, orders, portfolio values, charts, messages and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from lumibot_duckdb.comparison.differences.difference import MISSING, Difference, truncated
from lumibot_duckdb.comparison.outcome import ORDER_COLUMNS, SUBMITTED, Table, read_rows

_DESCRIBED = (
    "time",
    "datetime",
    "action",
    "symbol",
    "name",
    "side",
    "status",
    "filled_quantity",
    "quantity",
    "price",
    "limit_price",
    "stop_price",
    "value",
    "messages",
    "portfolio_value",
    "cash",
)
"""Columns that are shown of a row that only one run has."""
_ORDER_NUMBER = ORDER_COLUMNS.index("number")


def table_differences(backtest: str, kind: str, left: Table, right: Table) -> Iterator[Difference]:
    """Compare two tables; yield the first differing column of each differing row."""
    columns = [table.columns if table.rows else [] for table in (left, right)]
    yield from _row_differences(backtest, kind, columns, left.rows, right.rows)


def file_differences(backtest: str, kind: str, left: Path, right: Path) -> Iterator[Difference]:
    """Do the same as `table_differences` for two files, which are read one row at a time."""
    with ExitStack() as files:
        rows = [files.enter_context(read_rows(path)) for path in (left, right)]
        columns = [next(each, []) for each in rows]
        yield from _row_differences(backtest, kind, columns, *rows)


def count_rows(path: Path) -> int:
    """Return the number of rows in a file."""
    with read_rows(path) as rows:
        return max(sum(1 for _ in rows) - 1, 0)


def count_orders(path: Path) -> int:
    """Return the number of orders that were submitted."""
    with read_rows(path) as rows:
        return len({row[_ORDER_NUMBER] for row in rows if row[1] == SUBMITTED})


def statistic_differences(backtest: str, left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    """Compare statistics by name."""
    for name in [*left, *(name for name in right if name not in left)]:
        values = left.get(name, MISSING), right.get(name, MISSING)
        if values[0] != values[1]:
            yield Difference("analysis", backtest, "", "", name, *truncated(*values))


def _row_differences(
    backtest: str,
    kind: str,
    columns: Sequence[list[str]],
    left: Iterable[list[str]],
    right: Iterable[list[str]],
) -> Iterator[Difference]:
    if all(columns) and columns[0] != columns[1]:
        yield Difference(kind, backtest, "", "", "columns", *truncated(*map(", ".join, columns)))
        return
    names = columns[0] or columns[1]
    for number, (theirs, ours) in enumerate(zip_longest(left, right), start=1):
        if theirs == ours:
            continue
        row = dict(zip(names, theirs if theirs is not None else ours, strict=True))
        when, subject = row.get("time", row.get("datetime", "")), row.get("symbol", "")
        if theirs is None or ours is None:
            values = [
                MISSING if each is None else _described(dict(zip(names, each, strict=True))) for each in (theirs, ours)
            ]
            yield Difference(kind, backtest, when, subject, _place(number, row), *values)
        else:
            name, *values = next(
                (name, *pair) for name, *pair in zip(names, theirs, ours, strict=True) if pair[0] != pair[1]
            )
            yield Difference(kind, backtest, when, subject, _place(number, row, name), *truncated(*values))


def _place(number: int, row: Mapping[str, str], column: str = "") -> str:
    """Return which row it is, what happens in a row of trades or orders, and the column."""
    happened = row.get("action", row.get("status"))
    event = f"{row['side']} {happened}" if "side" in row and happened is not None else ""
    where = ", ".join(filter(None, [event, column]))
    return f"number {number:,}" + (f": {where}" if where else "")


def _described(row: Mapping[str, str]) -> str:
    return ", ".join(f"{word} {row[word]}" for word in _DESCRIBED if row.get(word, "None") != "None")
