"""`lumibot-duckdb import`: files of bars into the store, and a summary of what went in and what did not."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import Interrupts
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.store import open_store

if TYPE_CHECKING:
    from lumibot_duckdb.importing.importer import ImportChoice
    from lumibot_duckdb.importing.report import FileReport
    from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage

_USAGE = "lumibot-duckdb import [OPTION]... FILE..."
_DESCRIPTION = """\
Import bars from files: CSV and its kin (also .gz, .bz2, .zst), Parquet, Feather and Arrow. FILE may be a pattern or a
folder. Columns, symbols, times and the timeframe are recognised; options say what is not, or is wrongly.

Times of day that have no time zone in the file need --timezone. A plain date is midnight in New York, as Lumibot has it
(with --timezone: midnight there). Rows that cannot be bars (high below low, no price above zero, times that cannot be
read, ...) are not stored: they are kept in the folder "quarantine" beside the store. Importing the same files again
changes nothing.
"""

_EXAMPLES = """\
examples:
  lumibot-duckdb import AAPL.csv MSFT.csv
  lumibot-duckdb import 'minutes/*.csv.gz' --timezone America/New_York --source polygon
  lumibot-duckdb import all_stocks.parquet --symbol-column Name
  lumibot-duckdb import BTC-USD_1h.csv --asset-type crypto --timezone UTC
  lumibot-duckdb import export.txt --symbol ES --asset-type cont_future --columns open=O,close=Last --time-column When
  lumibot-duckdb import EURUSD.csv --asset-type forex --header date,time,open,high,low,close,volume --timezone UTC

exit codes: 0 all went in; 1 some files were refused; 2 the command was given wrongly; 3 trouble with the store;
130 interrupted (what was stored stays).
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "import",
        usage=_USAGE,
        help="import bars from CSV, Parquet and Feather files",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file, a pattern such as 'data/*.csv', or a folder")
    parser.add_argument("--to", dest="store", default=argparse.SUPPRESS, metavar="STORE", help="the same as --store")

    _add_series_options(parser.add_argument_group("what the bars are of"))
    _add_reading_options(parser.add_argument_group("what is in the files"))
    parser.set_defaults(run=_run)


def _add_series_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--symbol", help="the symbol of all bars (default: of a column, or of the file's name)")
    group.add_argument(
        "--asset-type",
        default="stock",
        metavar="TYPE",
        help="stock (default), crypto, forex, index, future, cont_future, crypto_future, or option (symbols are OCC's)",
    )
    group.add_argument("--quote", metavar="SYMBOL", help="the quote currency of crypto and forex, e.g. USD")
    group.add_argument("--expiration", metavar="YYYY-MM-DD", help="the expiration of a future")
    group.add_argument("--timeframe", help="minute, 5minute, hour, day, ... (default: the usual distance between bars)")
    group.add_argument("--source", default="import", metavar="NAME", help="the source to store under (default: import)")
    group.add_argument("--exchange", default="", metavar="NAME", help="the exchange, where it tells assets apart")
    group.add_argument("--adjustment", default="", metavar="WORD", help="how prices are adjusted, e.g. split or all")


def _add_reading_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--timezone", metavar="ZONE", help="the zone of times without one: America/New_York, UTC, ...")
    group.add_argument("--date-order", choices=("mdy", "dmy"), help="01/02/2024 has the month first, or the day")
    group.add_argument("--epoch", choices=("s", "ms", "us", "ns"), help="the unit of times that are numbers since 1970")
    group.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="NAME=COLUMN,...",
        help="which column is what, e.g. open=O,close=Last; a name of your own keeps a further column",
    )
    group.add_argument("--time-column", metavar="COLUMN", help="the column of times; two of them as DATE,TIME")
    group.add_argument("--symbol-column", metavar="COLUMN", help="the column of symbols")
    group.add_argument("--header", metavar="NAME,...", help="the columns of a text file that has no header line")
    group.add_argument("--delimiter", metavar="CHARACTER", help="what parts the fields of a text file ('\\t': a tab)")
    group.add_argument("--decimal", choices=(".", ","), metavar="MARK", help="the decimal mark of a text file: . or ,")


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.import_summary import summary
    from lumibot_duckdb.importing.discovery import find_files
    from lumibot_duckdb.importing.report import FileReport

    choice = _choice(arguments)
    storage = open_store(arguments.store)
    quarantine = storage.path.parent / "quarantine"
    files, wrong = find_files(arguments.files, leave_out=quarantine)
    reports = [FileReport(Path(name), error=problem) for name, problem in wrong.items()]
    try:
        _import_all(files, storage, choice, quarantine, reports)
    except KeyboardInterrupt:
        print(summary(reports))
        done = len(reports) - len(wrong)
        raise CommandError(
            f"interrupted after {done} of {len(files)} files; what was stored stays, and the same command again "
            "imports the rest",
            exit_code=130,
        ) from None
    except Exception:
        if reports:
            print(summary(reports))
        raise
    finally:
        storage.close()
    print(summary(reports))
    return 1 if any(report.error for report in reports) else 0


def _import_all(
    files: list[Path], storage: DuckDBDataStorage, choice: ImportChoice, quarantine: Path, reports: list[FileReport]
) -> None:
    from tqdm import tqdm

    from lumibot_duckdb.importing.importer import import_file

    sizes = {file: file.stat().st_size for file in files}
    bar = tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, file=sys.stderr, disable=None, leave=False)
    with bar, Interrupts("lumibot-duckdb: stopping after this file; Ctrl-C again stops at once") as interrupts:
        before = 0
        for file in files:
            bar.set_description(printable(file.name))

            def on_progress(done: float, before: int = before, size: int = sizes[file]) -> None:
                bar.update(before + int(done * size) - bar.n)
                interrupts.check()

            interrupts.check()
            reports.append(import_file(file, storage, choice, quarantine, on_progress))
            before += sizes[file]
            bar.update(before - bar.n)


def _choice(arguments: argparse.Namespace) -> ImportChoice:
    """Return what the options say; `CommandError` names the one that cannot be."""
    from lumibot_duckdb.importing.columns import ColumnChoice
    from lumibot_duckdb.importing.delimited import TextChoice
    from lumibot_duckdb.importing.importer import ImportChoice
    from lumibot_duckdb.importing.symbols import ASSET_TYPES, AssetChoice
    from lumibot_duckdb.importing.times import TimeChoice
    from lumibot_duckdb.importing.zones import zone_name
    from lumibot_duckdb.storage.identity import PAIR_TYPES, canonical_source
    from lumibot_duckdb.storage.timeframes import canonical_timeframe

    if arguments.asset_type not in ASSET_TYPES:
        raise CommandError(f"--asset-type {arguments.asset_type} is none of {', '.join(ASSET_TYPES)}")
    if arguments.quote and arguments.asset_type not in PAIR_TYPES:
        raise CommandError(
            f"--quote is for {', '.join(sorted(PAIR_TYPES))}, not for --asset-type {arguments.asset_type}"
        )
    if arguments.expiration and arguments.asset_type != "future":
        raise CommandError("--expiration is for --asset-type future")
    zone = arguments.timezone and zone_name(arguments.timezone)
    if arguments.timezone and zone is None:
        raise CommandError(f"--timezone {arguments.timezone} is no time zone such as America/New_York or UTC")
    delimiter = arguments.delimiter and arguments.delimiter.replace("\\t", "\t")
    if delimiter is not None and len(delimiter) != 1:
        raise CommandError("--delimiter takes one character")
    values = _named_columns(arguments.columns)
    try:
        return ImportChoice(
            symbol=arguments.symbol and arguments.symbol.strip().upper(),
            timeframe=arguments.timeframe and canonical_timeframe(arguments.timeframe),
            source=canonical_source(arguments.source),
            adjustment=arguments.adjustment,
            decimal=arguments.decimal,
            assets=AssetChoice(
                asset_type=arguments.asset_type,
                quote=arguments.quote and arguments.quote.upper(),
                exchange=arguments.exchange,
                expiration=arguments.expiration and date.fromisoformat(arguments.expiration),
            ),
            columns=ColumnChoice(
                time=arguments.time_column or values.pop("time", None),
                symbol=arguments.symbol_column or values.pop("symbol", None),
                values=values,
            ),
            times=TimeChoice(zone, arguments.date_order, arguments.epoch),
            text=TextChoice(arguments.header and tuple(arguments.header.split(",")), delimiter),
        )
    except ValueError as error:
        raise CommandError(str(error)) from None


def _named_columns(options: list[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for part in ",".join(options).split(",") if options else ():
        name, equals, column = part.partition("=")
        name = name.strip().lower()
        if not equals or not name.isidentifier() or not column.strip():
            raise CommandError(f"--columns {part!r} is not of the form NAME=COLUMN, e.g. open=O,close=Last")
        named[name] = column.strip()
    return named
