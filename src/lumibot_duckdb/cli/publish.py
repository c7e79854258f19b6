"""`lumibot-duckdb publish`: uploads a snapshot of the store to S3 or a folder, for other machines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.analysis import add_as_of
from lumibot_duckdb.cli.backup import spooled_line
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, new_york, printable, size
from lumibot_duckdb.cli.selection import add_selection, selected_series, selects
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.publishing.publication import PublishReport
    from lumibot_duckdb.storage.api import SeriesKey

_DESCRIPTION = """\
Publish a snapshot of the store, or of some series, to TARGET: s3://bucket/prefix, or a folder that others can read.

Every machine that opens TARGET as its store (--store, LUMIBOT_DUCKDB_PATH) downloads the snapshot once, checks its
digest, and reads it from its own disk. A process that has an earlier snapshot open keeps it. Other processes may write
to the store meanwhile.

boto3 finds the credentials (environment, ~/.aws, the role of the machine); AWS_ENDPOINT_URL_S3 names a server other
than Amazon's.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb publish s3://research/bars
  lumibot-duckdb publish s3://research/bars --keep 3
  lumibot-duckdb publish /mnt/team/bars AAPL MSFT --timeframe minute
  lumibot-duckdb publish s3://research/q1 --as-of 2024-03-31
  LUMIBOT_DUCKDB_PATH=s3://research/bars lumibot-duckdb run strategy.py

exit codes: 0 success; 1 the store has no such series, or nothing as of then; 2 wrong usage; 3 the store or TARGET
cannot be used, or the disk is full.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("target", metavar="TARGET", help="s3://bucket/prefix, or a folder")
    add_selection(parser, "publish")
    add_as_of(parser)
    parser.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help="remove all but the newest N snapshots there, except those superseded less than a day ago",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    storage = existing_store(arguments.store)
    try:
        with _refusals():
            report = _publish(storage, arguments)
    finally:
        storage.close()
    print(_json(report) if arguments.json else _summary(report))
    return 0


def _publish(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> PublishReport:
    series: Collection[SeriesKey] | None = None
    if selects(arguments):
        series = [info.key for info in selected_series(storage, arguments)]
    with Progress("Copying the store") as progress:

        def uploading(done: int, total: int) -> None:
            progress.text = "Uploading the snapshot"
            progress.update(done, total)

        return storage.publish(
            arguments.target,
            series,
            as_of=arguments.as_of,
            keep=arguments.keep,
            on_rows=progress.update,
            on_bytes=uploading,
        )


@contextmanager
def _refusals() -> Iterator[None]:
    """Report wrong usage, and series or versions that do not exist."""
    from lumibot_duckdb.storage import errors

    try:
        yield
    except (errors.SeriesNotFoundError, errors.SnapshotNotFoundError, errors.VersionGoneError) as error:
        raise CommandError(str(error), exit_code=1) from None
    except errors.StorageError:
        raise
    except ValueError as error:
        raise CommandError(str(error)) from None


def _json(report: PublishReport) -> str:
    return json.dumps({**asdict(report), "as_of": report.as_of.isoformat()}, indent=2)


def _summary(report: PublishReport) -> str:
    amount = f"{count(report.series, 'series', 'series')} with {count(report.rows, 'bar')}, {size(report.bytes)}"
    moment = new_york(int(report.as_of.timestamp()) // 60 * 60)
    lines = [f"Published to {printable(report.location)}: {amount}, as of {moment} (New York)."]
    if report.removed:
        lines.append(f"Removed {count(len(report.removed), 'earlier snapshot')}.")
    if report.spooled_bars:
        lines.append(spooled_line(report.spooled_bars))
    return "\n".join(lines)
