"""`lumibot-duckdb replica`: keeps a read-only copy of the current bars for other programs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.backup import spooled_line
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, printable, size
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.replica import ReplicaReport

_DESCRIPTION = """\
Write a replica of the store to FILE, or refresh the one that is there: a read-only copy of the current bars.

A notebook, a DuckDB shell or another program that has the store open blocks imports and backtests. One that has a
replica open blocks nobody: refreshing renames a new file into place, and the program keeps the old one until it opens
FILE again. If the store has not changed, nothing is copied. lumibot-duckdb refuses to write to a replica.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb replica ~/notebooks/bars.duckdb
  lumibot-duckdb sql --store ~/notebooks/bars.duckdb "SELECT count(*) FROM ohlcv_data"

exit codes: 0 success; 1 there is no store, or FILE is not a replica of it; 2 wrong usage; 3 the store cannot be used,
or FILE cannot be written.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("file", metavar="FILE", type=Path, help="the file for the replica, in a folder that exists")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    storage = existing_store(arguments.store)
    try:
        with Progress("Copying") as progress:
            report = storage.replica(arguments.file, on_rows=progress.update)
    except ValueError as error:
        raise CommandError(str(error)) from None
    except FileExistsError as error:
        raise CommandError(str(error), exit_code=1) from None
    finally:
        storage.close()
    print(json.dumps(asdict(report), indent=2) if arguments.json else _summary(report))
    return 0


def _summary(report: ReplicaReport) -> str:
    amount = f"{count(report.series, 'series', 'series')} with {count(report.rows, 'bar')}, {size(report.bytes)}"
    done = "Copied the current bars to" if report.refreshed else "The store has not changed since it was copied to"
    lines = [f"{done} {printable(report.path)}: {amount}."]
    if report.spooled_bars:
        lines.append(spooled_line(report.spooled_bars))
    return "\n".join(lines)
