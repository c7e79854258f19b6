"""`lumibot-duckdb correlate`: correlations of stored series, printed, drawn or written to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lumibot_duckdb.cli import query_output
from lumibot_duckdb.cli.analysis import (
    add_as_of,
    add_formats,
    check_output,
    chosen_bars,
    chosen_format,
    named_assets,
    refusals,
)
from lumibot_duckdb.cli.completers import TIMEFRAMES, completed_by, nothing, stored_sources, stored_symbols, words
from lumibot_duckdb.cli.drawing import check_drawing, is_drawing, show_drawing, write_drawing
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.indicator_output import TABLE_ROWS, completed
from lumibot_duckdb.cli.layout import count, new_york, printable, table, terminal_width
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.cli.time_range import add_range
from lumibot_duckdb.storage.timeframes import canonical_timeframe

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.charts.chart import Chart
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey

_JOINS = {
    "inner": "The {times} times that all of them have.",
    "asof": "The {times} times of {first}, with the last closes of the others.",
    "outer": "{times} times; for each pair those that both have.",
}
"""What a heat map states about the times."""
_METHODS = {
    "returns": "returns",
    "log_returns": "logarithmic returns",
    "differences": "differences",
    "prices": "prices",
}
_ORDERS = ("given", "similar")
_DECIMALS = 3
"""Of the correlations in a drawing, which hovering shows with as many."""

_DESCRIPTION = """\
Compute the correlations of stored assets: of all pairs, or with --window of the last bars at each time.

What is compared are returns, unless --method says otherwise. --join says at which times: those that all assets have
(inner), those of the first asset, with the last closes of the others (asof), or for each pair those that both have
(outer). Days are joined by date. Missing values are empty, in JSON null. Times are New York's in a table and a chart,
and UTC in the other formats.

--output writes CSV, Parquet or JSON, or draws: a name that ends in .html gives a page, and one that ends in .png a
picture, which needs the extra `charts`. All pairs are a heat map, and with --window each pair is a line. The page loads
nothing else, follows the light or dark setting of the browser and fits a phone.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb correlate SPY QQQ TLT --from 2023-01-01
  lumibot-duckdb correlate SPY BTC/USD --join asof --method log_returns
  lumibot-duckdb correlate "XL*" --order similar --output sectors.html --open
  lumibot-duckdb correlate SPY QQQ --timeframe hour --window 100 --output rolling.csv
  lumibot-duckdb correlate SPY QQQ TLT --window 60 --output rolling.html
  lumibot-duckdb correlate SPY QQQ --as-of before-the-split

exit codes: 0 success; 1 the store has no such bars or snapshot, or a library is missing; 2 wrong usage, no common bars,
or the file cannot be written; 3 the store cannot be used, or the disk is full.
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
    add("--order", choices=_ORDERS, default="given", help="similar: similar assets are next to each other")
    completed_by(add("--source", help="of the bars; not needed if only one source has such bars"), stored_sources)
    completed_by(add("--adjustment", metavar="KIND", help="of the bars; not needed if there is only one"), nothing)
    add_as_of(parser)
    add_formats(parser)
    add("--output", type=Path, metavar="FILE", help="write to this .csv, .parquet, .json, .html or .png file")
    add("--yes", action="store_true", help="replace a .csv, .parquet or .json file without asking")
    add("--open", action="store_true", help="open the .html or .png file in the browser")
    parser.set_defaults(run=_run)


def _length(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None


def _run(arguments: argparse.Namespace) -> int:
    file: Path | None = arguments.output
    if arguments.order != "given" and arguments.window is not None:
        raise CommandError("--order is for a matrix, and --window makes none: leave one of both out")
    if file is not None and is_drawing(file) and arguments.format is None:
        return _draw(file, arguments)
    if arguments.open:
        raise CommandError("--open needs --output with a name that ends in .html or .png")
    return _print_or_write(arguments)


def _print_or_write(arguments: argparse.Namespace) -> int:
    file_format = chosen_format(arguments)
    check_output(arguments)
    with _opened(arguments) as (storage, assets):
        found = _correlations(storage, assets, arguments)
    if arguments.window is None:
        found = found.rename_axis(columns=None).reset_index()
    if arguments.output is not None:
        with completed(arguments.output) as unfinished:
            _write_file(found, file_format, unfinished)
        print(f"{count(len(found), 'row')} written to {printable(str(arguments.output))}.")
    elif file_format == "table":
        _print_table(found)
    else:
        _write(found, file_format, sys.stdout)
    return 0


def _draw(file: Path, arguments: argparse.Namespace) -> int:
    check_drawing(file)
    with _opened(arguments) as (storage, assets):
        write_drawing(file, lambda: _chart(storage, assets, arguments))
    show_drawing(file, "The heat map" if arguments.window is None else "The chart", arguments.open)
    return 0


def _chart(storage: DuckDBDataStorage, assets: list[AssetKey], arguments: argparse.Namespace) -> Chart:
    found = _correlations(storage, assets, arguments)
    what = f"Correlation of {_METHODS[arguments.method]}"
    bars = f"{canonical_timeframe(arguments.timeframe)} bars"
    if arguments.window is not None:
        from lumibot_duckdb.charts.lines import correlation_chart

        times = _times_text(found["timestamp"].iloc[0], found["timestamp"].iloc[-1]) if len(found) else ""
        return correlation_chart(found, f"{what} over {arguments.window:,} {bars}", (times,))
    from lumibot_duckdb.charts.heatmap import heat_map

    closes = storage.closes(assets, **_chosen_bars(arguments))
    which = _JOINS[arguments.join].format(times=f"{len(closes):,}", first=closes.columns[0])
    notes = (_times_text(closes.index[0], closes.index[-1]), which)
    return heat_map(found, f"{what}, {bars}", notes, decimals=_DECIMALS)


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[tuple[DuckDBDataStorage, list[AssetKey]]]:
    """Yield the store and the assets, and report what they refuse."""
    storage = existing_store(arguments.store)
    try:
        with refusals():
            assets = named_assets(storage, arguments.symbols)
            if len(assets) < 2:
                raise CommandError("name two or more different assets")
            yield storage, assets
    finally:
        storage.close()


def _correlations(storage: DuckDBDataStorage, assets: list[AssetKey], arguments: argparse.Namespace) -> pd.DataFrame:
    found = storage.correlation(assets, method=arguments.method, window=arguments.window, **_chosen_bars(arguments))
    if arguments.order == "given":
        return found
    from lumibot_duckdb.charts.heatmap import in_order

    return in_order(found, arguments.order)


def _chosen_bars(arguments: argparse.Namespace) -> dict[str, Any]:
    return {**chosen_bars(arguments), "join": arguments.join}


def _times_text(first: pd.Timestamp, last: pd.Timestamp) -> str:
    return f"{new_york(int(first.timestamp()))} to {new_york(int(last.timestamp()))}, New York time."


def _print_table(found: pd.DataFrame) -> None:
    texts = [name in ("asset_symbol", "other_symbol", "timestamp") for name in found.columns]
    rows = [[_cell(value) for value in row] for row in _rows(found.head(TABLE_ROWS))]
    print(table([*found.columns], rows, [not is_text for is_text in texts], terminal_width()))
    if "timestamp" in found:
        print("\nTimes are New York time.")
    if len(found) > TABLE_ROWS:
        print(
            f"The first {TABLE_ROWS:,} rows. --from and --to choose others; --format csv prints all.", file=sys.stderr
        )


def _write_file(found: pd.DataFrame, file_format: str, file: Path) -> None:
    if file_format == "parquet":
        _in_utc(found).to_parquet(file, engine="pyarrow", index=False)
        return
    with file.open("x", encoding="utf-8", newline="") as text:
        _write(found, file_format, text)


def _in_utc(found: pd.DataFrame) -> pd.DataFrame:
    return found.assign(timestamp=found["timestamp"].dt.tz_convert("UTC")) if "timestamp" in found else found


def _write(found: pd.DataFrame, file_format: str, file: IO[str]) -> None:
    found = _in_utc(found)
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
