"""`lumibot-duckdb correlate`: correlations of stored series, printed or written to a file."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lumibot_duckdb.cli import query_output
from lumibot_duckdb.cli.analysis import add_as_of, check_output, chosen_format, named_assets, refusals
from lumibot_duckdb.cli.completers import TIMEFRAMES, completed_by, nothing, stored_sources, stored_symbols, words
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.indicator_output import TABLE_ROWS, completed
from lumibot_duckdb.cli.layout import count, new_york, printable, table
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.cli.time_range import add_range, chosen_range
from lumibot_duckdb.storage.times import UTC, moment_of

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

_FORMATS = ("csv", "json")
_JOINS = ("inner", "asof", "outer")
_METHODS = ("returns", "log_returns", "differences", "prices")

_DESCRIPTION = """\
Compute the correlations of stored assets: of all pairs, or with --window of the last bars at each time.

What is compared are returns, unless --method says otherwise. --join says at which times: those that all assets have
(inner), those of the first asset, with the last closes of the others (asof), or for each pair those that both have
(outer). Days are joined by date. Missing values are empty, in JSON null. Times are New York's in a table, and UTC in
the other formats.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb correlate SPY QQQ TLT --from 2023-01-01
  lumibot-duckdb correlate SPY BTC/USD --join asof --method log_returns
  lumibot-duckdb correlate SPY QQQ --timeframe hour --window 100 --output rolling.csv
  lumibot-duckdb correlate SPY QQQ --as-of before-the-split

exit codes: 0 success; 1 the store has no such bars or snapshot; 2 wrong usage, no common bars, or the file cannot be
written; 3 the store cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    completed_by(
        add("symbols", nargs="+", metavar="SYMBOL", help="two or more assets, as `status` lists them"), stored_symbols
    )
    completed_by(
        add("--timeframe", default="day", metavar="LENGTH", help="of the bars (default: day)"), words(TIMEFRAMES)
    )
    add_range(parser, "use bars")
    add("--method", choices=_METHODS, default="returns", help="what is compared (default: returns)")
    add("--join", choices=_JOINS, default="inner", help="at which times (default: inner)")
    completed_by(add("--window", type=_length, metavar="BARS", help="of the last so many bars, at each time"), nothing)
    completed_by(add("--source", help="of the bars; not needed if only one source has such bars"), stored_sources)
    completed_by(add("--adjustment", metavar="KIND", help="of the bars; not needed if there is only one"), nothing)
    add_as_of(parser)
    add("--format", choices=("table", *_FORMATS), help="table (default), csv or json; with --output by its name")
    add("--output", type=Path, metavar="FILE", help="write to this file")
    add("--yes", action="store_true", help="replace FILE without asking")
    parser.set_defaults(run=_run)


def _length(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None


def _run(arguments: argparse.Namespace) -> int:
    file_format = chosen_format(arguments, _FORMATS)
    check_output(arguments)
    storage = existing_store(arguments.store)
    try:
        with refusals():
            found = _correlations(storage, arguments)
    finally:
        storage.close()
    if arguments.output is not None:
        with completed(arguments.output) as unfinished, unfinished.open("x", encoding="utf-8", newline="") as file:
            _write(found, file_format, file)
        print(f"{count(len(found), 'row')} written to {printable(str(arguments.output))}.")
    elif file_format == "table":
        _print_table(found)
    else:
        _write(found, file_format, sys.stdout)
    return 0


def _correlations(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> pd.DataFrame:
    assets = named_assets(storage, arguments.symbols)
    if len(assets) < 2:
        raise CommandError("name two or more different assets")
    within = chosen_range(arguments)
    found = storage.correlation(
        assets,
        arguments.timeframe,
        None if arguments.start is None else moment_of(within.start, UTC),
        None if arguments.end is None else moment_of(within.end, UTC),
        method=arguments.method,
        join=arguments.join,
        window=arguments.window,
        source=arguments.source,
        adjustment=arguments.adjustment,
        as_of=arguments.as_of,
    )
    return found if arguments.window is not None else found.rename_axis(columns=None).reset_index()


def _print_table(found: pd.DataFrame) -> None:
    texts = [name in ("asset_symbol", "other_symbol", "timestamp") for name in found.columns]
    rows = [[_cell(value) for value in row] for row in _rows(found.head(TABLE_ROWS))]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table([*found.columns], rows, [not is_text for is_text in texts], width))
    if "timestamp" in found:
        print("\nTimes are New York time.")
    if len(found) > TABLE_ROWS:
        print(
            f"The first {TABLE_ROWS:,} rows. --from and --to choose others; --format csv prints all.", file=sys.stderr
        )


def _write(found: pd.DataFrame, file_format: str, file: IO[str]) -> None:
    if "timestamp" in found:
        found = found.assign(timestamp=found["timestamp"].dt.tz_convert("UTC"))
    write = query_output.write_csv if file_format == "csv" else query_output.write_json
    write([*found.columns], _rows(found), file)


def _rows(found: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the rows, with None for missing numbers."""
    for row in found.itertuples(index=False, name=None):
        yield tuple(None if value != value else value for value in row)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:.4f}" if isinstance(value, float) else new_york(int(value.timestamp()))
