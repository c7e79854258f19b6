"""`lumibot-duckdb snapshot`: names the present state of all bars, lists these names, and deletes them."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, snapshots
from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import one_change
from lumibot_duckdb.cli.layout import count, new_york, printable, table
from lumibot_duckdb.cli.store import existing_store

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import Snapshot

_DESCRIPTION = """\
Name the present state of all bars, to repeat a backtest on it later. Without NAME, list the snapshots.

A backtest with as_of, as in PolygonDataBacktesting.using(as_of="NAME"), reads the bars of the snapshot even if others
were stored since, and downloads nothing. A snapshot copies no bars. It keeps them: `compact` and `prune` leave what it
needs, and `delete` refuses to delete its series, until you delete the snapshot.

Splits, option chains and labels have no versions; a backtest on a snapshot reads the current ones.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb snapshot before-the-split
  lumibot-duckdb snapshot
  lumibot-duckdb snapshot before-the-split --delete

exit codes: 0 success; 1 there is no such snapshot or no store, the name is unusable or taken, or the answer was no; 2
wrong usage; 3 the store cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    name = parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a new name; with --delete, that of a snapshot in the store"
    )
    completed_by(name, snapshots)
    parser.add_argument("--delete", action="store_true", help="delete the snapshot; the next `compact` frees its space")
    add_yes(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.storage.errors import SnapshotError, SnapshotNotFoundError

    if arguments.delete and arguments.name is None:
        raise CommandError("--delete needs the NAME of a snapshot")
    storage = existing_store(arguments.store)
    try:
        known = storage.snapshots()
        if arguments.name is None:
            print(_listing(known, as_json=arguments.json))
        elif arguments.delete:
            _delete(storage, known, arguments)
        elif arguments.dry_run:
            raise CommandError("--dry-run is for --delete: making a snapshot changes no data")
        else:
            with one_change():
                made = storage.snapshot(arguments.name)
            print(_outcome("made", _as_json(made), arguments))
    except (SnapshotError, SnapshotNotFoundError) as error:
        raise CommandError(str(error), exit_code=1) from None
    finally:
        storage.close()
    return 0


def _delete(storage: DuckDBDataStorage, known: list[Snapshot], arguments: argparse.Namespace) -> None:
    if any(each.name == arguments.name for each in known):
        if arguments.dry_run:
            print(_outcome("deleted", {"name": arguments.name}, arguments))
            return
        confirm(f"Delete the snapshot {arguments.name}?", arguments)
    with one_change():
        storage.delete_snapshot(arguments.name)
    print(_outcome("deleted", {"name": arguments.name}, arguments))


def _listing(known: list[Snapshot], *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"snapshots": [_as_json(snapshot) for snapshot in known]}, indent=2)
    if not known:
        return "The store has no snapshots."
    rows = [[each.name, _minute(each), f"{each.last_ingest:,}"] for each in known]
    shown = table(["snapshot", "made", "last write"], rows, [False, False, True])
    return f"{shown}\n\n{count(len(known), 'snapshot')}. Times are New York time."


def _minute(snapshot: Snapshot) -> str:
    return new_york(int(snapshot.created_at.timestamp()) // 60 * 60)


def _as_json(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "name": snapshot.name,
        "last_ingest": snapshot.last_ingest,
        "created_at": snapshot.created_at.isoformat(timespec="seconds"),
    }


def _outcome(what: str, snapshot: dict[str, Any], arguments: argparse.Namespace) -> str:
    if arguments.json:
        return json.dumps({"dry_run": arguments.dry_run, what: snapshot}, indent=2)
    return f"Snapshot {printable(snapshot['name'])} {f'would be {what}' if arguments.dry_run else what}."
