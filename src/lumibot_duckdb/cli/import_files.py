"""`lumibot-duckdb import`: imports files of bars and prints a summary of what was imported and what was not."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import (
    TIMEFRAMES,
    asset_types,
    completed_by,
    nothing,
    stored_sources,
    stored_symbols,
    time_zones,
    words,
)
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, printable
from lumibot_duckdb.cli.numbers import percentage, whole_number
from lumibot_duckdb.cli.store import chosen_path, open_store
from lumibot_duckdb.cli.suggestions import did_you_mean, similar_file
from lumibot_duckdb.importing.vocabulary import QUOTE_CURRENCIES
from lumibot_duckdb.interrupts import Interrupts
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.importing.importer import ImportChoice
    from lumibot_duckdb.importing.report import FileReport

_NAMES = ("symbol", "asset_type", "quote", "timeframe", "source", "timezone", "name_pattern")
_USAGE = "lumibot-duckdb import [OPTION]... FILE..."
_DESCRIPTION = """\
Import bars from CSV, Parquet, Feather and Arrow files.

Text files may be delimited in any way and compressed (.gz, .bz2, .zst, .zip). FILE may also be a pattern or a folder.
The command recognises columns, symbols, times and the timeframe; options state what it cannot recognise or gets wrong.
--dry-run shows how each file is understood and stores nothing.

Times of day need --timezone unless the file has the time zone. A plain date is midnight in New York, as in Lumibot, or
midnight in --timezone. Rows that cannot be bars (a high below the low, no price above zero, an unreadable time, ...)
are not stored but kept in the folder "quarantine" beside the store. Importing the same files again changes nothing.

If a notebook or shell has the store open, the command names it and waits for 30 seconds; --spool does not wait.
"""

_EXAMPLES = """\
examples:
  lumibot-duckdb import AAPL.csv MSFT.csv
  lumibot-duckdb import --dry-run 'downloads/*.csv'
  lumibot-duckdb import minutes --name-pattern '{symbol}/*_1min.csv' --timezone UTC
  lumibot-duckdb import 'minutes/*.csv.gz' --timezone America/New_York --source polygon
  lumibot-duckdb import all_stocks.parquet --symbol-column Name
  lumibot-duckdb import BTC-USD_1h.csv --asset-type crypto --timezone UTC
  lumibot-duckdb import export.txt --symbol ES --asset-type cont_future --columns open=O,close=Last --time-column When
  lumibot-duckdb import EURUSD.csv --asset-type forex --header date,time,open,high,low,close,volume --timezone UTC

exit codes: 0 all files were imported; 1 some files were refused; 2 wrong usage; 3 the store cannot be used;
130 interrupted (bars stored by then stay).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.usage, parser.description, parser.epilog = _USAGE, _DESCRIPTION, _EXAMPLES
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file, a pattern such as 'data/*.csv', or a folder")
    parser.add_argument("--to", dest="store", default=argparse.SUPPRESS, metavar="STORE", help="the same as --store")
    parser.add_argument(
        "--dry-run", action="store_true", help="show how each file is understood and its first bars; store nothing"
    )
    parser.add_argument(
        "--spool",
        action="store_true",
        help="if another program holds the store, keep the bars beside it instead of waiting: the next write or "
        "`compact` merges them",
    )

    _add_series_options(parser.add_argument_group("the series"))
    _add_reading_options(parser.add_argument_group("the files"))
    parser.set_defaults(run=_run)


def _add_series_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    completed_by(
        add("--symbol", help="the symbol of all bars (default: from a column, the file's name or its folder)"),
        stored_symbols,
    )
    completed_by(
        add(
            "--asset-type",
            metavar="TYPE",
            help="stock, crypto, forex, index, future, cont_future, crypto_future or option (default: crypto or forex "
            "for pairs such as BTC/USD, option for OCC symbols, else stock)",
        ),
        asset_types,
    )
    completed_by(
        add("--quote", metavar="SYMBOL", help="the quote currency of crypto and forex, e.g. USD"),
        words(QUOTE_CURRENCIES),
    )
    completed_by(add("--expiration", metavar="YYYY-MM-DD", help="the expiration of a future"), nothing)
    completed_by(
        add("--timeframe", help="minute, 5minute, hour, day, ... (default: from the distances between bars)"),
        words(TIMEFRAMES),
    )
    completed_by(
        add("--source", metavar="NAME", help="the source to store the bars under (default: import)"),
        stored_sources,
    )
    completed_by(
        add("--exchange", default="", metavar="NAME", help="the exchange, to store its bars as a separate asset"),
        nothing,
    )
    completed_by(add("--adjustment", metavar="WORD", help="how prices are adjusted, e.g. split or all"), nothing)


def _add_reading_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    pattern = add(
        "--name-pattern",
        metavar="PATTERN",
        help="how paths end, with {symbol}, {timeframe} or {date} in their places, e.g. '{symbol}/*_{timeframe}.csv'",
    )
    completed_by(pattern, nothing)
    completed_by(
        add("--timezone", metavar="ZONE", help="the zone of times without one: America/New_York, UTC, UTC+2, ..."),
        time_zones,
    )
    completed_by(add("--date", metavar="YYYY-MM-DD", help="the date of times of day without one"), nothing)
    add("--date-order", choices=("mdy", "dmy"), help="whether 01/02/2024 begins with the month or the day")
    add("--epoch", choices=("s", "ms", "us", "ns"), help="the unit of times that are numbers since 1970")
    columns = add(
        "--columns",
        action="append",
        default=[],
        metavar="NAME=COLUMN,...",
        help="the columns of prices and volume, e.g. open=O,close=Last; a new NAME keeps a further column, an empty "
        "COLUMN leaves one out",
    )
    completed_by(columns, nothing)
    completed_by(add("--time-column", metavar="COLUMN", help="the column of times, or two as DATE,TIME"), nothing)
    completed_by(add("--symbol-column", metavar="COLUMN", help="the column of symbols"), nothing)
    completed_by(
        add("--header", metavar="NAME,...", help="the columns of a text file, if its header line is missing or wrong"),
        nothing,
    )
    completed_by(
        add("--delimiter", metavar="CHARACTER", help="the delimiter of a text file ('\\t' for a tab)"), nothing
    )
    add("--decimal", choices=(".", ","), metavar="MARK", help="the decimal mark of a text file: . or ,")
    scale = add(
        "--price-scale", type=whole_number, metavar="N", help="divide prices by N, e.g. 100 for prices in cents"
    )
    completed_by(scale, nothing)
    limit = add(
        "--max-bad-rows",
        type=percentage,
        default=50,
        metavar="PERCENT",
        help="refuse a file if more of its rows cannot be bars (default: 50); rows without prices do not count",
    )
    completed_by(limit, nothing)
    expansion = add(
        "--max-expansion",
        type=whole_number,
        default=100,
        metavar="N",
        help="refuse a compressed file whose content is more than N times larger (default: 100)",
    )
    completed_by(expansion, nothing)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.import_preview import preview
    from lumibot_duckdb.cli.import_summary import summary
    from lumibot_duckdb.importing.discovery import NO_SUCH_FILE, find_files
    from lumibot_duckdb.importing.report import FileReport
    from lumibot_duckdb.storage.bars.spool import Spool
    from lumibot_duckdb.storage.errors import StoreBusyError

    choice = _choice(arguments)
    storage = None if arguments.dry_run else open_store(arguments.store)
    quarantine = chosen_path(arguments.store).parent / "quarantine"
    files, wrong = find_files(arguments.files, leave_out=quarantine)
    reports = [
        FileReport(Path(name), error=f"{problem}{similar_file(Path(name)) if problem == NO_SUCH_FILE else ''}")
        for name, problem in wrong.items()
    ]
    outcome = preview if storage is None else summary
    try:
        if storage is not None and not choice.spool:
            storage.merge_spooled()
        _import_all(files, storage, choice, quarantine, reports)
    except KeyboardInterrupt:
        print(outcome(reports))
        raise
    except Exception as error:
        if reports:
            print(outcome(reports))
        if isinstance(error, StoreBusyError) and not choice.spool:
            remedy = "Or import with --spool, which does not wait"
            raise CommandError(f"{str(error).rstrip('.')}. {remedy}", exit_code=3) from None
        raise
    finally:
        if storage is not None:
            storage.close()
    print(outcome(reports))
    if storage is not None and any(report.spooled for report in reports):
        print("\n".join(f"{printable(sentence)}." for sentence in Spool(storage.path).sentences()))
    return 1 if any(report.error for report in reports) else 0


def _import_all(
    files: list[Path],
    storage: DuckDBDataStorage | None,
    choice: ImportChoice,
    quarantine: Path,
    reports: list[FileReport],
) -> None:
    from lumibot_duckdb.importing import importer
    from lumibot_duckdb.importing.earlier_files import EarlierFiles
    from lumibot_duckdb.importing.exported import together
    from lumibot_duckdb.importing.steps import Step
    from lumibot_duckdb.storage.partial_work import partial_work

    earlier = EarlierFiles()
    sizes = {file: file.stat().st_size for file in files}
    with (
        Progress("Importing", sum(sizes.values())) as progress,
        partial_work("nothing was imported") as work,
        Interrupts("lumibot-duckdb: stopping after this file; press Ctrl-C again to stop now") as interrupts,
    ):
        before = 0
        for group in together(files):
            name, size_of_group = printable(group[0].name), sum(sizes[file] for file in group)
            progress.text = f"{name}: reading"

            def on_step(
                step: Step, done: float, name: str = name, before: int = before, size: int = size_of_group
            ) -> None:
                if step is Step.STORING and done:  # some series of the file may be stored
                    work.outcome = _imported(len(reports), len(files))
                progress.text, progress.done = f"{name}: {step.text}", before + size * step.of_file(done)
                if step is Step.READING:
                    interrupts.check()

            interrupts.check()
            reports.extend(importer.import_files(group, storage, choice, quarantine, on_step, earlier))
            work.outcome = _imported(len(reports), len(files))
            before += size_of_group
            progress.done = before


def _imported(done: int, total: int) -> str:
    return f"imported {done:,} of {count(total, 'file')}; what was stored stays, and the same command imports the rest"


def _choice(arguments: argparse.Namespace) -> ImportChoice:
    """Return the choices that the options make. Raises `CommandError` for a wrong one."""
    from lumibot_duckdb.importing.columns import ColumnChoice
    from lumibot_duckdb.importing.importer import ImportChoice
    from lumibot_duckdb.importing.paths import NamePattern
    from lumibot_duckdb.importing.series import SeriesChoice
    from lumibot_duckdb.importing.symbols import ASSET_TYPES, AssetChoice
    from lumibot_duckdb.importing.text_form import TextChoice
    from lumibot_duckdb.importing.times import TimeChoice
    from lumibot_duckdb.importing.zones import zone_name
    from lumibot_duckdb.storage.identity import PAIR_TYPES, canonical_source

    for option in _NAMES:
        if getattr(arguments, option) == "":
            raise CommandError(f"--{option.replace('_', '-')} is empty: leave it out, or name one")
    if arguments.asset_type not in (None, *ASSET_TYPES):
        suggestion = did_you_mean(arguments.asset_type, ASSET_TYPES)
        raise CommandError(f"--asset-type {arguments.asset_type} is not one of {', '.join(ASSET_TYPES)}{suggestion}")
    if arguments.quote and arguments.asset_type not in PAIR_TYPES:
        raise CommandError(
            f"--quote is for {', '.join(sorted(PAIR_TYPES))}, not for --asset-type {arguments.asset_type or 'stock'}"
        )
    if arguments.expiration and arguments.asset_type != "future":
        raise CommandError("--expiration is for --asset-type future")
    zone = arguments.timezone and zone_name(arguments.timezone)
    if arguments.timezone and zone is None:
        suggestion = did_you_mean(arguments.timezone, time_zones())
        raise CommandError(
            f"--timezone {arguments.timezone} is not a time zone such as America/New_York, UTC or UTC+2{suggestion}"
        )
    delimiter = arguments.delimiter and arguments.delimiter.replace("\\t", "\t")
    if delimiter is not None and len(delimiter) != 1:
        raise CommandError("--delimiter takes one character")
    named = _named_columns(arguments.columns)
    values = {name: column for name, column in named.items() if column}
    try:
        return ImportChoice(
            series=SeriesChoice(
                symbol=arguments.symbol and arguments.symbol.strip().upper(),
                timeframe=arguments.timeframe and _timeframe(arguments.timeframe),
                source=arguments.source and canonical_source(arguments.source),
                adjustment=arguments.adjustment,
                assets=AssetChoice(
                    asset_type=arguments.asset_type,
                    quote=arguments.quote and arguments.quote.upper(),
                    exchange=arguments.exchange,
                    expiration=arguments.expiration and _date("--expiration", arguments.expiration),
                ),
            ),
            decimal=arguments.decimal,
            price_scale=arguments.price_scale,
            max_bad_rows=arguments.max_bad_rows,
            max_expansion=arguments.max_expansion,
            name_pattern=arguments.name_pattern and NamePattern(arguments.name_pattern),
            columns=ColumnChoice(
                time=arguments.time_column or values.pop("time", None),
                symbol=arguments.symbol_column or values.pop("symbol", None),
                values=values,
                left_out=tuple(name for name, column in named.items() if not column),
            ),
            times=TimeChoice(
                zone, arguments.date_order, arguments.epoch, arguments.date and _date("--date", arguments.date)
            ),
            text=TextChoice(arguments.header and tuple(arguments.header.split(",")), delimiter),
            spool=arguments.spool,
        )
    except ValueError as error:
        raise CommandError(str(error)) from None


def _date(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text} is not a date such as 2024-03-15") from None


def _timeframe(text: str) -> str:
    from lumibot_duckdb.storage.timeframes import canonical_timeframe

    try:
        return canonical_timeframe(text)
    except ValueError as error:
        raise CommandError(f"--timeframe {error}") from None


def _named_columns(options: list[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for part in ",".join(options).split(",") if options else ():
        name, equals, column = part.partition("=")
        name = name.strip().lower()
        if not equals or not name.isidentifier():
            raise CommandError(f"--columns {part!r} is not of the form NAME=COLUMN; write it as in open=O,close=Last")
        named[name] = column.strip()
    return named
