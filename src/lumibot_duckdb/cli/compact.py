"""`lumibot-duckdb compact`: makes the store small, and fast to read."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.layout import count, size
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.compaction import CompactionReport
    from lumibot_duckdb.storage.upkeep.fragmentation import Fragmentation

_DESCRIPTION = """\
Rewrite the store: bars in the order in which they are read, without deleted and superseded ones.

Other processes read and write meanwhile; they wait only at the end. The disk needs as much free space as the store
takes. If the command is interrupted or the disk is full, the store is unchanged.

A version of a series that was superseded, because its prices changed, stays for --keep days, so that a backtest that
runs now can still read it. Versions that a snapshot needs stay as long as the snapshot.

--dry-run shows how fragmented the store is: the space that would be returned to the disk, and how many row groups
(122,880 bars each) a read of 20 days goes through, on average. After a compaction these are 1 to 3, and 20 more double
the time of a read. With `config set compact.automatic on`, programs that have written to a fragmented store compact it
when they end.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb compact
  lumibot-duckdb compact --dry-run
  lumibot-duckdb compact --keep 30
  lumibot-duckdb compact --json

exit codes: 0 success; 1 there is no store; 2 wrong usage; 3 the store cannot be used, or the disk is full.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    kept = parser.add_argument(
        "--keep", type=_age, metavar="DAYS", help="keep superseded versions so long (default: 1, see `config`)"
    )
    completed_by(kept, nothing)
    parser.add_argument("--dry-run", action="store_true", help="show what a compaction would gain, and change nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _age(text: str) -> timedelta:
    """Return a number of days, or an age such as "2w"."""
    from lumibot_duckdb.storage.upkeep.prune_rule import parse_age

    try:
        return parse_age(f"{text}d" if text.isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(arguments: argparse.Namespace) -> int:
    storage = existing_store(arguments.store)
    try:
        if arguments.dry_run:
            found = storage.fragmentation(arguments.keep)
            print(json.dumps(_as_json(found), indent=2) if arguments.json else _plan(found))
            return 0
        with Progress("Compacting") as progress:
            report = storage.compact(arguments.keep, progress.update)
    finally:
        storage.close()
    print(json.dumps(_report_as_json(report), indent=2) if arguments.json else _summary(report))
    return 0


def _plan(found: Fragmentation) -> str:
    return "\n".join(
        [
            f"A compaction would return about {size(found.bytes_to_gain)} of {size(found.bytes_used)} to the disk: "
            f"{size(found.bytes_free)} are free, and {found.bars_unneeded:,} of {count(found.bars, 'bar')} "
            "are deleted or superseded.",
            f"{_row_groups(found)}, which takes about {found.read_factor:.1f} times as long as in a compacted store.",
        ]
    )


def _row_groups(found: Fragmentation) -> str:
    return f"A read of 20 days goes through {found.row_groups_per_read:.1f} row groups"


def _report_as_json(report: CompactionReport) -> dict[str, Any]:
    return {**asdict(report), "before": _as_json(report.before), "after": _as_json(report.after)}


def _as_json(found: Fragmentation) -> dict[str, Any]:
    return {
        **asdict(found),
        "row_groups_per_read": round(found.row_groups_per_read, 1),
        "bytes_to_gain": found.bytes_to_gain,
        "size_factor": round(found.size_factor, 2),
        "read_factor": round(found.read_factor, 2),
    }


def _summary(report: CompactionReport) -> str:
    bars = f"{count(report.rows, 'bar')} of all versions"
    lines = [f"{size(report.bytes_before)} before, {size(report.bytes_after)} after, {bars}."]
    lines.append(f"{_row_groups(report.after)}, before {report.before.row_groups_per_read:.1f}.")
    if report.versions_removed:
        versions = count(report.versions_removed, "superseded version")
        lines.append(f"Removed {versions} with {count(report.rows_removed, 'bar')}.")
    return "\n".join(lines)
