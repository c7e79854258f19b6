"""`lumibot-duckdb indicators`: indicators of stored series, printed or written to a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, printable, table
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.cli.time_range import add_range

if TYPE_CHECKING:
    import pyarrow as pa

    from lumibot_duckdb.analytics.catalogue import Indicator
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey

_DESCRIPTION = """\
Compute indicators of stored bars.

Bars of a length that is not stored are made of smaller ones. Enough bars before --from are read that values do not
depend on where the range begins. No value depends on later bars. Missing values (too few bars, a division by zero) are
empty, in JSON null. Times are New York's in a table, and UTC in the other formats.

--list shows all indicators with their parameters, and with --with the formulas of some.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb indicators AAPL --with "rsi(14)" --with "bollinger(20, 2)" --from 2024-01-01
  lumibot-duckdb indicators SPY QQQ --with macd --timeframe hour --output macd.parquet
  lumibot-duckdb indicators BTC/USD --with "ema(50)" --timeframe minute --format csv > ema.csv
  lumibot-duckdb indicators AAPL --with "ema(50)" --as-of 2024-06-01
  lumibot-duckdb indicators --list
  lumibot-duckdb indicators --list --with supertrend

exit codes: 0 success; 1 the store has no such bars or snapshot, or TA-Lib is needed and missing; 2 wrong usage, no bars
in the range, or the file cannot be written; 3 the store cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    completed_by(add("symbols", nargs="*", metavar="SYMBOL", help="assets, as `status` lists them"), stored_symbols)
    completed_by(
        add("--with", dest="requests", action="append", metavar="INDICATOR", help='such as "rsi(14)"; may be repeated'),
        indicator_names,
    )
    completed_by(
        add("--timeframe", default="day", metavar="LENGTH", help="of the bars (default: day)"), words(TIMEFRAMES)
    )
    add_range(parser, "show bars")
    completed_by(add("--source", help="of the bars; not needed if only one source has such bars"), stored_sources)
    completed_by(add("--adjustment", metavar="KIND", help="of the bars; not needed if there is only one"), nothing)
    add_as_of(parser)
    add_formats(parser)
    add("--output", type=Path, metavar="FILE", help="write to this file")
    add("--yes", action="store_true", help="replace FILE without asking")
    add("--list", action="store_true", help="show the indicators that there are")
    parser.set_defaults(run=_run)


def indicator_names(**_: Any) -> Iterable[str]:
    """Complete to the names of indicators."""
    from lumibot_duckdb.analytics.catalogue import CATALOGUE

    return CATALOGUE


def _run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print(_listed(arguments))
        return 0
    if not arguments.symbols or not arguments.requests:
        raise CommandError('name at least one SYMBOL and one indicator, such as --with "rsi(14)"; --list shows all')
    file_format = chosen_format(arguments)
    check_output(arguments)
    storage = existing_store(arguments.store)
    try:
        with refusals():
            _write(storage, arguments, file_format)
    finally:
        storage.close()
    return 0


# -- what there is -----------------------------------------------------------------------------------------------


def _listed(arguments: argparse.Namespace) -> str:
    from lumibot_duckdb.analytics.catalogue import CATALOGUE
    from lumibot_duckdb.analytics.errors import IndicatorError
    from lumibot_duckdb.analytics.requests import parsed_request, parsed_requests

    given = (
        arguments.symbols,
        arguments.output,
        arguments.start,
        arguments.end,
        arguments.source,
        arguments.adjustment,
        arguments.as_of,
    )
    if any(given) or arguments.format not in (None, "table", "json"):
        raise CommandError("--list takes --with and --format table or json, and nothing else")
    try:
        requests = parsed_requests(arguments.requests or [*CATALOGUE])
    except IndicatorError as error:
        raise CommandError(str(error)) from None
    if arguments.format == "json":
        return json.dumps([_as_json(request.indicator) for request in requests], indent=2)
    if arguments.requests:
        return "\n\n".join(_described(request.indicator, str(request.warm_up)) for request in requests)
    rows = [
        (each.usage(), ", ".join(each.outputs), str(parsed_request(each.name).warm_up), " ".join(each.layers))
        for each in CATALOGUE.values()
    ]
    header = ("indicator", "outputs", "depends on earlier bars", "layers")
    return (
        table(header, rows, right=[False] * 4)
        + "\n\nThe numbers of earlier bars are those for the defaults. `--list --with NAME` shows a formula."
    )


def _described(indicator: Indicator, warm_up: str) -> str:
    lines = [
        f"{indicator.usage()}: {indicator.title}",
        f"  formula: {indicator.formula}",
        f"  source: {indicator.source}",
        f"  inputs: {', '.join(indicator.inputs)}",
        f"  outputs: {', '.join(indicator.outputs)}",
        f"  depends on earlier bars: {warm_up}",
        f"  layers: {', '.join(indicator.layers)}",
    ]
    return "\n".join(lines + [f"  {each.name}: {each.bounds}" for each in indicator.parameters])


def _as_json(indicator: Indicator) -> dict[str, Any]:
    from lumibot_duckdb.analytics.requests import parsed_request

    parameters = [
        {"name": each.name, "default": each.default, "least": each.least, "greatest": each.greatest}
        for each in indicator.parameters
    ]
    return {
        "name": indicator.name,
        "title": indicator.title,
        "group": indicator.group,
        "parameters": parameters,
        "inputs": indicator.inputs,
        "outputs": indicator.outputs,
        "formula": indicator.formula,
        "source": indicator.source,
        "warm_up": str(parsed_request(indicator.name).warm_up),
        "layers": indicator.layers,
        "pane": indicator.pane,
    }


# -- computing ---------------------------------------------------------------------------------------------------


def _write(storage: DuckDBDataStorage, arguments: argparse.Namespace, file_format: str) -> None:
    from lumibot_duckdb.cli.indicator_output import print_rows, write_file
    from lumibot_duckdb.progress import Progress

    assets = named_assets(storage, arguments.symbols)
    reader = _reader(storage, assets, arguments)
    with Progress("Computing indicators", len(assets)) as progress:
        if arguments.output is None:
            print_rows(reader, file_format, progress.advance)
            return
        rows = write_file(reader, file_format, arguments.output, progress.advance)
    print(f"{count(rows, 'row')} of {count(len(assets), 'asset')} written to {printable(str(arguments.output))}.")


def _reader(storage: DuckDBDataStorage, assets: list[AssetKey], arguments: argparse.Namespace) -> pa.RecordBatchReader:
    return storage.indicators(assets, arguments.requests, format="reader", **chosen_bars(arguments))
