"""`lumibot-duckdb sql`: one read-only query over the store, as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import table
from lumibot_duckdb.cli.store import open_store

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_ROWS = 1_000
_BATCH_ROWS = 10_000

_DESCRIPTION = """\
Run one query over the store and print the result. The view ohlcv_data has the bars, a row each: asset_symbol,
asset_type, exchange, timestamp (UTC), timeframe, source, open, high, low, close, volume, adj_close, dividend,
split_ratio, metadata, created_at. Statements that write are refused.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb sql "SELECT asset_symbol, timeframe, count(*) AS bars FROM ohlcv_data GROUP BY ALL"
  lumibot-duckdb sql --csv "FROM ohlcv_data WHERE asset_symbol = 'AAPL'" > aapl.csv
  lumibot-duckdb sql --json "SELECT max(close) AS top FROM ohlcv_data WHERE asset_symbol = 'AAPL'"
  lumibot-duckdb sql - < query.sql

exit codes: 0 done; 1 the query is wrong, or would write; 2 the command was given wrongly; 3 trouble with the store.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("sql", help="ask the store in SQL", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("query", metavar="QUERY", help="the query; - reads it from standard input")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV: a header line, NULL is empty")
    form.add_argument("--json", action="store_true", help="print one JSON array of objects")
    parser.add_argument(
        "--limit",
        type=_row_count,
        metavar="N",
        help=f"print at most N rows (default: {TABLE_ROWS:,} in a table, else all)",
    )
    parser.set_defaults(run=_run)


def _row_count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _run(arguments: argparse.Namespace) -> int:
    query = sys.stdin.read() if arguments.query == "-" else arguments.query
    if arguments.csv:
        _print_csv(_answer(arguments.store, query, arguments.limit))
    elif arguments.json:
        _print_json(_answer(arguments.store, query, arguments.limit))
    else:
        limit = arguments.limit or TABLE_ROWS
        # One row more tells whether there are more.
        _print_table(_answer(arguments.store, query, limit + 1), limit)
    return 0


def _answer(store: str | None, query: str, limit: int | None) -> pa.Table:
    """Return the result of a query, of at most so many rows."""
    import duckdb

    if not query.strip():
        raise CommandError("the query is empty")
    storage = open_store(store)
    try:
        return storage.sql(query, max_rows=limit)
    except (duckdb.Error, ValueError) as error:
        raise CommandError(_in_one_line(str(error)), exit_code=1) from error
    finally:
        storage.close()


def _in_one_line(message: str) -> str:
    """Return DuckDB's message without the drawing of where in the query it is."""
    lines = [line.strip() for line in message.splitlines()]
    place = next((number for number, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
    return " ".join(line for line in lines[:place] if line)


def _rows(result: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in result.to_batches(_BATCH_ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _print_table(result: pa.Table, limit: int) -> None:
    import pyarrow as pa

    right = [
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        for kind in result.schema.types
    ]
    rows = [["NULL" if value is None else _text(value) for value in row] for row in _rows(result.slice(0, limit))]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table(result.column_names, rows, right, width))
    if result.num_rows > len(rows):
        print(f"The first {len(rows):,} rows. --limit N shows more; --csv and --json print all.", file=sys.stderr)


def _print_csv(result: pa.Table) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(result.column_names)
    writer.writerows(["" if value is None else _text(value) for value in row] for row in _rows(result))


def _print_json(result: pa.Table) -> None:
    names = result.column_names
    separator = "["
    for row in _rows(result):
        print(separator)
        print(json.dumps({name: _plain(value) for name, value in zip(names, row, strict=True)}, default=_text), end="")
        separator = ","
    print("[]" if separator == "[" else "\n]")


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (dict, list)):
        return json.dumps(_plain(value), default=_text)
    return value.hex() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: dates as ISO 8601, and null for numbers that it does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value
