"""`lumibot-duckdb export`: writes series, or the result of a query, to files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError, in_one_line
from lumibot_duckdb.cli.layout import count, printable, size
from lumibot_duckdb.cli.selection import add_selection, selected_series
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.cli.time_range import add_range, chosen_range
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.upkeep.export.exporter import ExportReport

_FORMATS = ("parquet", "csv", "arrow")

_DESCRIPTION = """\
Write series, or the result of a query, to Parquet, CSV or Arrow files that every tool reads.

Each series has a file in Hive partitions, source=.../timeframe=.../asset_type=.../symbol=.../bars-....parquet, with the
starts of its bars in UTC in the column datetime. `lumibot-duckdb import FOLDER` restores exactly what was exported:
assets, columns, values, coverage, the metadata of downloads, known splits and dividends, and labels. Option chains
stay.

Without SYMBOL, everything is exported. Other processes may write meanwhile; each series is consistent in itself.
FOLDER appears when the export is complete. It may be empty or an earlier export, which is replaced after a question.
Times are New York time.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb export --to everything
  lumibot-duckdb export --to minutes AAPL MSFT --timeframe minute --from 2024-01-01 --until 2024-06-30
  lumibot-duckdb export --to csv --source polygon --format csv
  lumibot-duckdb export --to closes --query "SELECT timestamp, close FROM ohlcv_data WHERE asset_symbol = 'AAPL'"

exit codes: 0 success; 1 the store has no such series, the query is wrong, or FOLDER has something else in it; 2 wrong
usage; 3 the store cannot be used, or the disk is full.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("--to", dest="folders", action="append", required=True, metavar="FOLDER", help="the folder to write")
    add_selection(parser, "export")
    add_range(parser, "export", end="--until")
    query = parser.add_argument("--query", metavar="SQL", help="export the result of one read-only query instead")
    completed_by(query, nothing)
    parser.add_argument("--format", choices=_FORMATS, default="parquet", help="parquet (default), csv or arrow")
    add_yes(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if len(arguments.folders) > 1:
        raise CommandError("--to names the folder, and was given twice; the end of a range of time is --until")
    folder = Path(arguments.folders[0]).expanduser().absolute()
    storage = existing_store(arguments.store)
    try:
        with _refusals():
            report = (_export if arguments.query is None else _export_query)(storage, folder, arguments)
    finally:
        storage.close()
    print(_json(report, arguments) if arguments.json else _summary(report, arguments))
    return 0


def _export(storage: DuckDBDataStorage, folder: Path, arguments: argparse.Namespace) -> ExportReport:
    chosen = chosen_range(arguments, end="--until")
    within = None if arguments.start is arguments.end is None else chosen
    series = [info.key for info in selected_series(storage, arguments)]
    options: dict[str, Any] = {"within": within, "file_format": arguments.format, "replace": True}
    if arguments.dry_run:
        return storage.export(folder, series, dry_run=True, **options)
    _ask(folder, arguments)
    with Progress("Exporting") as progress:
        return storage.export(folder, series, on_rows=progress.update, **options)


def _export_query(storage: DuckDBDataStorage, folder: Path, arguments: argparse.Namespace) -> ExportReport:
    chosen = (arguments.source, arguments.timeframe, arguments.adjustment, arguments.start, arguments.end)
    if arguments.symbols or any(option is not None for option in chosen) or arguments.dry_run:
        raise CommandError(
            "--query says itself what is exported: leave out SYMBOL, the options for series and --dry-run"
        )
    _ask(folder, arguments)
    with Progress("Exporting"):
        return storage.export(folder, query=arguments.query, file_format=arguments.format, replace=True)


def _ask(folder: Path, arguments: argparse.Namespace) -> None:
    """Ask whether an export that is in the folder may be replaced."""
    from lumibot_duckdb.storage.upkeep.export.folder import check_target
    from lumibot_duckdb.storage.upkeep.export.manifest import manifest_in

    check_target(folder, replace=True)
    earlier = manifest_in(folder)
    if earlier is not None:
        confirm(f"{folder} has an export of {count(len(earlier.files), 'file')}. Replace it?", arguments)


@contextmanager
def _refusals() -> Iterator[None]:
    """Report what is wrong with the query or the folder."""
    import duckdb

    from lumibot_duckdb.storage.errors import SeriesNotFoundError

    try:
        yield
    except (duckdb.Error, ValueError, SeriesNotFoundError) as error:
        raise CommandError(in_one_line(str(error)), exit_code=1) from error


def _json(report: ExportReport, arguments: argparse.Namespace) -> str:
    files = [
        {
            "file": file.path,
            **({} if file.key is None else key_as_json(file.key)),
            "rows": file.rows,
            "bytes": file.bytes,
        }
        for file in report.files
    ]
    printed = {"dry_run": arguments.dry_run, "folder": report.folder, "format": report.format, "files": files}
    return json.dumps({**printed, "rows": report.rows, "bytes": report.bytes}, indent=2)


def _summary(report: ExportReport, arguments: argparse.Namespace) -> str:
    folder = printable(report.folder)
    if arguments.query is not None:
        return f"{count(report.rows, 'row')} exported to {folder}/{report.files[0].path}, {size(report.bytes)}."
    amount = f"{count(len(report.files), 'series', 'series')} with {count(report.rows, 'bar')}"
    if not arguments.dry_run:
        return f"{amount} exported to {folder}, {size(report.bytes)}."
    listed = [
        f"{printable(file.key.label())}: {count(file.rows, 'bar')}, about {size(file.bytes)}"
        for file in report.files
        if file.key is not None
    ]
    return "\n".join([*listed, f"{amount} would be exported to {folder}, about {size(report.bytes)}."])
