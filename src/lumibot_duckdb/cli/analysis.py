"""What commands that analyse bars have in common: assets, earlier versions, the format and file of output, refusals."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, snapshots
from lumibot_duckdb.cli.confirmation import confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.time_range import chosen_range
from lumibot_duckdb.storage.times import UTC, moment_of

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey

FILE_FORMATS = ("csv", "parquet", "json")
"""What rows can be written to a file as; all but Parquet can be printed, too."""


def add_as_of(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses an earlier version of the bars."""
    option = parser.add_argument(
        "--as-of", metavar="WHEN", help="use the bars that were in the store then: a date, a time, or a snapshot's name"
    )
    completed_by(option, snapshots)


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the format of the output, and the short forms that `sql` has, too."""
    form = parser.add_mutually_exclusive_group()
    text = "table (default), csv, parquet or json; with --output by the name of the file"
    form.add_argument("--format", choices=("table", *FILE_FORMATS), help=text)
    for name in ("csv", "json"):
        form.add_argument(
            f"--{name}", dest="format", action="store_const", const=name, help=f"the same as --format {name}"
        )


def chosen_bars(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the bars that the options choose, as keyword arguments of the storage's methods."""
    within = chosen_range(arguments)
    return {
        "timeframe": arguments.timeframe,
        "start": None if arguments.start is None else moment_of(within.start, UTC),
        "end": None if arguments.end is None else moment_of(within.end, UTC),
        "source": arguments.source,
        "adjustment": arguments.adjustment,
        "as_of": arguments.as_of,
    }


def named_assets(storage: DuckDBDataStorage, names: Iterable[str]) -> list[AssetKey]:
    """Return the stored assets that some names stand for, each once. Raises `CommandError`."""
    from lumibot_duckdb.cli.assets import find_assets, stored_assets

    stored = stored_assets(storage.path)
    return list(dict.fromkeys(asset for name in names for asset in find_assets(name, stored)))


@contextmanager
def refusals() -> Iterator[None]:
    """Report wrong requests, and series or versions that do not exist or have nothing to draw."""
    from lumibot_duckdb.analytics.errors import MissingLibraryError
    from lumibot_duckdb.charts.errors import ChartError
    from lumibot_duckdb.storage import errors

    absent = (errors.SeriesNotFoundError, errors.AmbiguousSeriesError, errors.SnapshotNotFoundError)
    try:
        yield
    except (MissingLibraryError, ChartError, errors.VersionGoneError, *absent) as error:
        raise CommandError(_as_options(str(error)), exit_code=1) from error
    except errors.StorageError:
        raise
    except ValueError as error:
        raise CommandError(_as_options(str(error))) from error


def _as_options(message: str) -> str:
    """Return a message about arguments in Python as one about options."""
    message = message.replace("join='asof' or 'outer'", "--join asof or outer")
    return re.sub(r"\bpass (source|adjustment)=, one of ", r"add --\1, one of ", message)


def chosen_format(arguments: argparse.Namespace) -> str:
    """Return the format of the output: that of `--format`, or that of the name of the file; "table" without both."""
    if arguments.output is None:
        if arguments.format == "parquet":
            raise CommandError("--format parquet needs --output FILE")
        return arguments.format or "table"
    by_name = arguments.output.suffix.lower().removeprefix(".")
    *others, last = FILE_FORMATS
    choices = f"{', '.join(others)} or {last}"
    if arguments.format is None and by_name not in FILE_FORMATS:
        raise CommandError(f"{arguments.output}: add --format {choices}, which the name does not tell")
    if arguments.format == "table":
        raise CommandError(f"a file is {choices}")
    return str(arguments.format or by_name)


def check_output(arguments: argparse.Namespace) -> None:
    """Refuse an output file that cannot be written, and ask before one is replaced."""
    file = arguments.output
    if file is None:
        return
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise CommandError(f"cannot write to {file}: name a file in an existing folder")
    if file.exists():
        confirm(f"{printable(str(file))} exists. Replace it?", arguments)
