"""`lumibot-duckdb sql`: one read-only query over the store, printed as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from tempfile import SpooledTemporaryFile

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.errors import CommandError, in_one_line
from lumibot_duckdb.cli.layout import terminal_width
from lumibot_duckdb.cli.numbers import whole_number
from lumibot_duckdb.cli.store import checked_path

TABLE_ROWS = 1_000
_SPOOLED_BYTES = 16 * 2**20

_DESCRIPTION = """\
Run one SQL query on the store and print the result.

The view ohlcv_data has one row for each bar, with the columns asset_symbol, asset_type, exchange, timestamp (UTC),
timeframe, source, open, high, low, close, volume, adj_close, dividend, split_ratio, metadata and created_at. A query
reads the store and nothing else: DuckDB runs it without access to other files, the network or its own settings.
--allow-files lets it read your own files, too.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb sql "SELECT asset_symbol, timeframe, count(*) AS bars FROM ohlcv_data GROUP BY ALL"
  lumibot-duckdb sql --csv "FROM ohlcv_data WHERE asset_symbol = 'AAPL'" > aapl.csv
  lumibot-duckdb sql --json "SELECT max(close) AS top FROM ohlcv_data WHERE asset_symbol = 'AAPL'"
  lumibot-duckdb sql - < query.sql
  lumibot-duckdb sql --allow-files "FROM ohlcv_data JOIN 'my_symbols.csv' USING (asset_symbol)"

exit codes: 0 success; 1 the query is wrong or would write; 2 wrong usage; 3 the store cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    query = parser.add_argument("query", metavar="QUERY", help="the query; - reads it from standard input")
    completed_by(query, nothing)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV with a header line; NULL is an empty field")
    form.add_argument("--json", action="store_true", help="print one JSON array of objects")
    limit = parser.add_argument(
        "--limit",
        type=whole_number,
        metavar="N",
        help=f"print at most N rows (default: {TABLE_ROWS:,} in a table, else all)",
    )
    completed_by(limit, nothing)
    parser.add_argument(
        "--allow-files", action="store_true", help="let the query read other files (CSV, Parquet, JSON, text)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import duckdb

    from lumibot_duckdb.cli import query_output
    from lumibot_duckdb.storage.row_query import query_rows

    query = sys.stdin.read() if arguments.query == "-" else arguments.query
    if not query.strip():
        raise CommandError("the query is empty")
    path, limit, allow_files = checked_path(arguments.store), arguments.limit, arguments.allow_files
    try:
        if arguments.csv or arguments.json:
            write = query_output.write_csv if arguments.csv else query_output.write_json
            # In a temporary file first: a slow reader of standard output must not keep writers from the store.
            with SpooledTemporaryFile(_SPOOLED_BYTES, "w+", encoding="utf-8", newline="") as output:
                with query_rows(path, query, allow_files=allow_files) as result, _temporary_space():
                    write(result.names, islice(result.rows, limit), output)
                output.seek(0)
                shutil.copyfileobj(output, sys.stdout)
        else:
            limit = limit or TABLE_ROWS
            with query_rows(path, query, allow_files=allow_files) as result:
                rows = list(islice(result.rows, limit + 1))  # one more, to see whether there are more
            width = terminal_width()
            print(query_output.as_table(result.names, result.types, rows[:limit], width))
            if len(rows) > limit:
                print(f"The first {limit:,} rows. --limit N shows more; --csv and --json print all.", file=sys.stderr)
    except (duckdb.Error, ValueError) as error:
        raise CommandError(in_one_line(str(error)), exit_code=1) from error
    return 0


@contextmanager
def _temporary_space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"cannot write the result to the temporary folder: {error.strerror}; name another one in TMPDIR",
            exit_code=1,
        ) from error
