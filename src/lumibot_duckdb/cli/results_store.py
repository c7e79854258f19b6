"""The results database that a command works on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.store import chosen_location

if TYPE_CHECKING:
    from lumibot_duckdb.results import ResultsDatabase


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the results database."""
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="the results (default: <store>-results.duckdb beside the store)"
    )


def open_results(arguments: argparse.Namespace, script: Path | None = None) -> ResultsDatabase:
    """Return the results that `--results` names, else the default ones of the store. Raises `CommandError`."""
    from lumibot_duckdb.results import ResultsDatabase
    from lumibot_duckdb.results.location import results_path
    from lumibot_duckdb.storage.connection.engine import check_environment

    try:
        check_environment()
        # Not the path: a published snapshot would be downloaded to find it.
        store = None if arguments.results is not None else chosen_location(arguments.store, script)
        return ResultsDatabase(results_path(arguments.results, store))
    except ValueError as error:
        raise CommandError(str(error)) from None
