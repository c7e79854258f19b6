"""`lumibot-duckdb merge`: adds everything that another store has."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, printable
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import open_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.merging import MergeConflict, MergeReport

_DESCRIPTION = """\
Add everything that another store has: series with their coverage, splits and dividends, option chains, and
labels.

If both stores have a bar with other values, the one that was requested later is kept, so the result does not depend on
which store is merged into which. The number of these conflicts and the first of them are reported. The replaced bars
remain in an earlier version until `compact` removes it.

FILE is read and checked as a whole before anything is written, and it is never changed. Each series is stored
separately: an interrupted merge can be repeated.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb merge /mnt/laptop/lumibot.duckdb --dry-run
  lumibot-duckdb merge /mnt/laptop/lumibot.duckdb
  lumibot-duckdb merge other.duckdb --refuse-conflicts

exit codes: 0 success; 1 there is no FILE, or it was refused; 2 wrong usage; 3 FILE is damaged, or a store cannot be
used.
"""
_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("file", metavar="FILE", help="the other store: a file, or the folder that has it")
    add("--refuse-conflicts", action="store_true", help="change nothing if a bar has other values in FILE")
    add("--dry-run", action="store_true", help="show what would be done, without doing it")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.storage.errors import StoreNotFoundError, UpkeepRefusedError

    path = _file(arguments.file)
    storage = open_store(arguments.store)
    try:
        with Progress(f"Merging {printable(path.name)}") as progress:
            report = storage.merge(
                path, refuse_conflicts=arguments.refuse_conflicts, dry_run=arguments.dry_run, on_rows=progress.update
            )
    except (StoreNotFoundError, UpkeepRefusedError) as error:
        raise CommandError(str(error), exit_code=1) from None
    finally:
        storage.close()
    print(json.dumps(_as_json(report), indent=2) if arguments.json else _summary(report))
    return 0


def _file(name: str) -> Path:
    """Return the file of a store, given the file or its folder; a folder without a store is returned itself."""
    from lumibot_duckdb.storage.location import store_path

    path = Path(name).expanduser()
    if not path.is_dir():
        return path
    try:
        file = store_path(path)
    except ValueError as error:
        raise CommandError(str(error)) from None
    return file if file.exists() else path


def _summary(report: MergeReport) -> str:
    would = "would be " if report.dry_run else ""
    changed = report.series_added + report.series_changed
    lines = [
        f"{count(report.series, 'series', 'series')} read: {report.series_added:,} {would}added, "
        f"{report.series_changed:,} {would}changed, {report.series - changed:,} unchanged.",
        f"{count(report.bars_added, 'bar')} {would}added, {report.bars_changed:,} {would}changed.",
    ]
    if report.actions or report.option_chains:
        lines.append(
            f"Splits and dividends of {count(report.actions, 'asset')} and "
            f"{count(report.option_chains, 'option chain')} {would}stored."
        )
    if report.labels:
        lines.append(f"{count(report.labels, 'label')} {would}stored.")
    if report.conflicts:
        lines.append(
            f"{count(report.conflicts, 'bar')} {'has' if report.conflicts == 1 else 'have'} other values in both "
            "stores; those requested later are kept. The first:"
        )
        lines += [f"  {_example(each)}" for each in report.examples[:_SHOWN]]
    lines += [f"Left out of {printable(key.label())}: {printable(reason)}." for key, reason in report.left_out]
    return "\n".join(lines)


def _example(conflict: MergeConflict) -> str:
    from lumibot_duckdb.storage.times import NEW_YORK, moment_of

    time = f"{moment_of(conflict.time, NEW_YORK):%Y-%m-%d %H:%M:%S}"
    return (
        f"{printable(conflict.key.label())}, {time} New York time: {printable(conflict.column)} is {conflict.here!r} "
        f"here, {conflict.there!r} there"
    )


def _as_json(report: MergeReport) -> dict[str, Any]:
    return {
        "dry_run": report.dry_run,
        "series": report.series,
        "series_added": report.series_added,
        "series_changed": report.series_changed,
        "bars_added": report.bars_added,
        "bars_changed": report.bars_changed,
        "actions": report.actions,
        "option_chains": report.option_chains,
        "labels": report.labels,
        "conflicts": report.conflicts,
        "examples": [
            {
                **key_as_json(each.key),
                "time": each.time,
                "column": each.column,
                "here": str(each.here),
                "there": str(each.there),
            }
            for each in report.examples
        ],
        "left_out": [{**key_as_json(key), "reason": reason} for key, reason in report.left_out],
    }
