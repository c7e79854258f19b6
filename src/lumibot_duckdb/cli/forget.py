"""`lumibot-duckdb forget`: forgets what a source has answered for, so that the next backtest requests it again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.interrupts import one_change
from lumibot_duckdb.cli.layout import count, new_york, printable
from lumibot_duckdb.cli.selection import add_selection, require_selection, selected_series
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import open_store
from lumibot_duckdb.cli.time_range import add_range, chosen_range

if TYPE_CHECKING:
    from lumibot_duckdb.storage.api import SeriesInfo, TimeRange

_DESCRIPTION = """\
Let the next backtest request bars from their source again. No bar is deleted.

The store remembers for which times a source has answered (the coverage that `status SYMBOL` lists), and no backtest
requests bars of these times again. This command forgets that, so the next backtest that needs these times requests
them: use it if the source has bars now that it lacked before, or has corrected some. Stored bars stay. Further bars are
added to them, and bars with other prices begin a new version of the series. A running backtest is not affected.

The forgotten ranges are printed. Choose the series by SYMBOL, --source, --timeframe or --adjustment. Times are New York
time.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb forget AAPL --from 2024-01-02 --to 2024-01-05 --dry-run
  lumibot-duckdb forget AAPL --from 2024-01-02 --to 2024-01-05
  lumibot-duckdb forget BTC/USDT --source ccxt --timeframe minute
  lumibot-duckdb forget "*" --source polygon --from 2024-01-02

exit codes: 0 success, also if nothing was covered; 1 the store has no such series; 2 wrong usage; 3 the store cannot be
used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_selection(parser, "forget")
    add_range(parser, "forget")
    parser.add_argument("--dry-run", action="store_true", help="show what would be forgotten, without doing it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.storage.bars.coverage import common

    require_selection(arguments)
    within = chosen_range(arguments)
    storage = open_store(arguments.store)
    try:
        series = selected_series(storage, arguments)
        forgotten = [(info, pieces) for info in series if (pieces := common(info.coverage, [within]))]
        for info, pieces in forgotten:
            if not arguments.json:
                print(_listing(info, pieces))
        if not arguments.dry_run:
            with one_change():
                storage.forget_coverage([info.key for info, _ in forgotten], within)
    finally:
        storage.close()
    print(_as_json(forgotten, arguments) if arguments.json else _summary(forgotten, dry_run=arguments.dry_run))
    return 0


def _listing(info: SeriesInfo, pieces: Sequence[TimeRange]) -> str:
    ranges = [f"  {new_york(piece.start)} to {new_york(piece.end)}" for piece in pieces]
    return "\n".join([f"{printable(info.key.label())}:", *ranges])


def _as_json(forgotten: Sequence[tuple[SeriesInfo, Sequence[TimeRange]]], arguments: argparse.Namespace) -> str:
    listed = [
        {**key_as_json(info.key), "bars": info.rows, "ranges": [[piece.start, piece.end] for piece in pieces]}
        for info, pieces in forgotten
    ]
    return json.dumps({"dry_run": arguments.dry_run, "forgotten": listed}, indent=2)


def _summary(forgotten: Sequence[tuple[SeriesInfo, Sequence[TimeRange]]], *, dry_run: bool) -> str:
    if not forgotten:
        return "Nothing of this is covered, so the next backtest requests it anyway."
    ranges = count(sum(len(pieces) for _, pieces in forgotten), "range")
    series = count(len(forgotten), "series", "series")
    bars = count(sum(info.rows for info, _ in forgotten), "bar")
    if dry_run:
        return f"{ranges} of {series} would be forgotten. All {bars} would stay."
    return f"{ranges} of {series} forgotten; the next backtest requests them again. All {bars} stay."
