"""`lumibot-duckdb delete`: deletes series from the store."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, printable
from lumibot_duckdb.cli.selection import add_selection, require_selection, selected_series
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import open_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import SeriesInfo

_DESCRIPTION = """\
Delete series from the store, with all their bars, versions and coverage. This cannot be undone.

Choose them by SYMBOL, --source, --timeframe or --adjustment; all that is given has to match. The series are listed
first, and nothing is deleted before you agree. A backtest that needs them later downloads them again. The file keeps
its size, and later writes use the free space; `compact` returns it to the disk.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb delete AAPL --dry-run
  lumibot-duckdb delete AAPL --source polygon --timeframe minute
  lumibot-duckdb delete "SPY 2024-01-19 470 CALL option" --yes
  lumibot-duckdb delete "TEST*" --dry-run
  lumibot-duckdb delete --source yahoo

exit codes: 0 success; 1 the store has no such series, a snapshot needs one, or the answer was no; 2 wrong usage; 3 the
store cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_selection(parser, "delete")
    add_yes(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    require_selection(arguments)
    storage = open_store(arguments.store)
    try:
        series = selected_series(storage, arguments)
        if not arguments.json:
            print("\n".join(f"{printable(info.key.label())}: {count(info.rows, 'bar')}" for info in series))
        _refuse_needed(storage, series)
        if not arguments.dry_run:
            confirm(f"Delete {_amount(series)}?", arguments)
            with Progress("Deleting", len(series)) as progress:

                def on_series(done: int, total: int) -> None:
                    progress.done = done

                storage.delete_many((info.key for info in series), on_series=on_series)
    finally:
        storage.close()
    print(_report(series, arguments))
    return 0


def _refuse_needed(storage: DuckDBDataStorage, series: Sequence[SeriesInfo]) -> None:
    """Raise `CommandError` if a snapshot needs one of the series, before any is deleted."""
    from lumibot_duckdb.storage.errors import SnapshotError

    try:
        storage.delete_many((info.key for info in series), dry_run=True)
    except SnapshotError as error:
        raise CommandError(f"nothing was deleted: {error}", exit_code=1) from None


def _report(series: Sequence[SeriesInfo], arguments: argparse.Namespace) -> str:
    if arguments.json:
        listed = [{**key_as_json(info.key), "bars": info.rows} for info in series]
        return json.dumps({"dry_run": arguments.dry_run, "deleted": listed}, indent=2)
    return f"{_amount(series)} {'would be deleted' if arguments.dry_run else 'deleted'}."


def _amount(series: Sequence[SeriesInfo]) -> str:
    return f"{count(len(series), 'series', 'series')} with {count(sum(info.rows for info in series), 'bar')}"
