"""`lumibot-duckdb chart`: a chart of stored bars, as a page or a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.analysis import add_as_of, chosen_bars, named_assets, refusals
from lumibot_duckdb.cli.completers import TIMEFRAMES, completed_by, nothing, stored_sources, stored_symbols, words
from lumibot_duckdb.cli.drawing import check_drawing, show_drawing, write_drawing
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.indicators import indicator_names
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.cli.suggestions import similar_file
from lumibot_duckdb.cli.time_range import add_range

if TYPE_CHECKING:
    from lumibot_duckdb.charts.chart import Chart
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey

_DESCRIPTION = """\
Draw stored bars: candles, volume, indicators, splits, dividends, and the trades of a backtest.

The chart is one HTML file that loads nothing else, follows the light or dark setting of the browser and fits a phone.
A name that ends in .png gives a picture, which needs the extra `charts`. An older chart of that name is replaced; any
other file is not.

Bars of a length that is not stored are made of smaller ones. At most about 2,000 candles are drawn: of more bars,
larger candles are made, and the chart states their length. --trades takes the file *_trades.csv that Lumibot writes.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb chart SPY --output spy.html --open
  lumibot-duckdb chart AAPL --with "sma(50)" --with "rsi(14)" --from 2024-01-01 --output aapl.html
  lumibot-duckdb chart AAPL --as-of before-the-split --output before.html
  lumibot-duckdb chart BTC/USD --timeframe hour --with "bollinger(20, 2)" --output btc.png
  lumibot-duckdb chart SPY --timeframe minute --from 2024-03-04 --to 2024-03-05 --trades logs/MyStrategy_trades.csv \\
    --output trades.html

exit codes: 0 success; 1 the store has no such bars or snapshot, the file has no trades of the asset, or a library is
missing; 2 wrong usage, or the file cannot be written; 3 the store cannot be used, or the disk is full.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    completed_by(add("symbol", metavar="SYMBOL", help="an asset, as `status` lists it"), stored_symbols)
    completed_by(
        add("--timeframe", default="day", metavar="LENGTH", help="of the bars (default: day)"), words(TIMEFRAMES)
    )
    completed_by(
        add(
            "--with",
            dest="requests",
            action="append",
            default=[],
            metavar="INDICATOR",
            help='such as "rsi(14)"; may be repeated; `indicators --list` shows all',
        ),
        indicator_names,
    )
    add_range(parser, "draw bars")
    completed_by(add("--source", help="of the bars; not needed if only one source has such bars"), stored_sources)
    completed_by(add("--adjustment", metavar="KIND", help="of the bars; not needed if there is only one"), nothing)
    add_as_of(parser)
    add("--trades", type=Path, metavar="FILE", help="mark the fills of a backtest: Lumibot's *_trades.csv")
    add("--output", type=Path, metavar="FILE", required=True, help="write to this .html or .png file")
    add("--open", action="store_true", help="open the file in the browser")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    file: Path = arguments.output
    check_drawing(file)
    _check_trades(arguments.trades)
    storage = existing_store(arguments.store)
    try:
        with refusals():
            write_drawing(file, lambda: _chart(storage, arguments))
    finally:
        storage.close()
    show_drawing(file, "The chart", arguments.open)
    return 0


def _check_trades(file: Path | None) -> None:
    if file is not None and not file.is_file():
        raise CommandError(f"there is no file {file}{similar_file(file)}")


def _chart(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> Chart:
    from lumibot_duckdb.charts.chart import make_chart

    bars = chosen_bars(arguments)
    asset = _asset(storage, arguments.symbol)
    return make_chart(storage, asset, indicators=arguments.requests, zone=None, trades=arguments.trades, **bars)


def _asset(storage: DuckDBDataStorage, name: str) -> AssetKey:
    found = named_assets(storage, [name])
    if len(found) > 1:
        names = " or ".join(f'"{asset.label()}"' for asset in found[:4])
        raise CommandError(f"a chart has one asset, and {printable(name)} stands for {len(found):,}: write {names}")
    return found[0]
