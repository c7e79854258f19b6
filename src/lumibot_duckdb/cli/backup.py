"""`lumibot-duckdb backup`: copies the whole store to a file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.confirmation import confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, printable, size
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.backup import BackupReport

_DESCRIPTION = """\
Copy the whole store to FILE: all versions of all bars, coverage, option chains, splits, labels, settings and
snapshots.

The copy is the store at one moment. Other processes read and write meanwhile; writes wait only at the end. FILE
appears when it is complete. It is a store itself, which --store can name if FILE ends in .duckdb, and `restore` puts it
back.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb backup /mnt/disk/bars-2024-06-03.duckdb
  lumibot-duckdb backup /mnt/disk/bars.duckdb --yes

exit codes: 0 success; 1 there is no store, FILE is another file, or the answer was no; 2 wrong usage; 3 the store
cannot be used, or FILE cannot be written.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("file", metavar="FILE", type=Path, help="the file for the copy, in a folder that exists")
    parser.add_argument("--yes", action="store_true", help="replace FILE, if there is one, without a question")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.storage.upkeep.backup import check_replaceable
    from lumibot_duckdb.storage.upkeep.copy_target import copy_target

    storage = existing_store(arguments.store)
    try:
        target = copy_target(arguments.file, storage.path)
        replace = target.exists()
        if replace:
            check_replaceable(storage.path, target)
            confirm(f"Replace {target} ({size(target.stat().st_size)})?", arguments)
        with Progress("Backing up") as progress:
            report = storage.backup(target, replace=replace, on_rows=progress.update)
    except ValueError as error:
        raise CommandError(str(error)) from None
    except FileExistsError as error:
        raise CommandError(str(error), exit_code=1) from None
    finally:
        storage.close()
    print(json.dumps(asdict(report), indent=2) if arguments.json else _summary(report))
    return 0


def _summary(report: BackupReport) -> str:
    amount = f"{count(report.series, 'series', 'series')} with {count(report.rows, 'bar')} of all versions"
    lines = [f"Backed up {amount} to {printable(report.path)}, {size(report.bytes)}."]
    if report.spooled_bars:
        lines.append(spooled_line(report.spooled_bars))
    return "\n".join(lines)


def spooled_line(bars: int) -> str:
    """Return what the user should know about downloads that could not be merged before the copy was made."""
    return f"It lacks {count(bars, 'bar')} of downloads in the spool, which could not be merged into the store first."
