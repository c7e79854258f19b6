"""`lumibot-duckdb forget`: forgets what a source has answered for, so that the next backtest requests it again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import TIMEFRAMES, completed_by, nothing, stored_sources, stored_symbols, words
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, new_york, printable
from lumibot_duckdb.cli.store import chosen_path, open_store
from lumibot_duckdb.storage.times import NEW_YORK, epoch_seconds, midnight

if TYPE_CHECKING:
    from lumibot_duckdb.storage.api import SeriesInfo, TimeRange

_ALWAYS = (-(2**62), 2**62)

_DESCRIPTION = """\
Let the next backtest request bars from their source again. No bar is deleted.

The store remembers for which times a source has answered (the coverage that `status SYMBOL` lists), and no backtest
requests bars of these times again. This command forgets that, so the next backtest that needs these times requests
them: use it if the source has bars now that it lacked before, or has corrected some. Stored bars stay. Further bars are
added to them, and bars with other prices begin a new version of the series. A running backtest is not affected.

The forgotten ranges are printed. A SYMBOL is written as in `status`.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb forget AAPL --from 2024-01-02 --to 2024-01-05 --dry-run
  lumibot-duckdb forget AAPL --from 2024-01-02 --to 2024-01-05
  lumibot-duckdb forget BTC/USDT --source ccxt --timeframe minute

exit codes: 0 success, also if nothing was covered; 1 the store has no such series; 2 wrong usage; 3 the store cannot be
used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    completed_by(
        add("symbols", nargs="+", metavar="SYMBOL", help="assets, or series as `status` lists them"), stored_symbols
    )
    completed_by(add("--source", help="forget only bars from this source: polygon, yahoo, ..."), stored_sources)
    completed_by(
        add("--timeframe", metavar="LENGTH", help="forget only bars of this length: minute, day, ..."),
        words(TIMEFRAMES),
    )
    completed_by(
        add("--adjustment", metavar="KIND", help="forget only bars with this adjustment: split, all, ..."), nothing
    )
    completed_by(
        add("--from", dest="start", metavar="TIME", help="forget from this date or time on (New York time)"),
        nothing,
    )
    completed_by(
        add("--to", dest="end", metavar="TIME", help="forget up to the end of this date, or up to this time"),
        nothing,
    )
    add("--dry-run", action="store_true", help="show what would be forgotten, without doing it")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.series import named_series
    from lumibot_duckdb.storage.bars.coverage import common

    within = _range(arguments.start, arguments.end)
    path = chosen_path(arguments.store)
    if not path.exists():
        raise CommandError(f"there is no store at {path} yet", exit_code=1)
    storage = open_store(arguments.store)
    try:
        series = _selected(named_series(storage, arguments.symbols), arguments)
        forgotten = [(info, pieces) for info in series if (pieces := common(info.coverage, [within]))]
        for info, pieces in forgotten:
            print(_listing(info, pieces))
            if not arguments.dry_run:
                storage.forget_coverage(info.key, within)
    finally:
        storage.close()
    print(_summary(forgotten, dry_run=arguments.dry_run))
    return 0


def _selected(series: Sequence[SeriesInfo], arguments: argparse.Namespace) -> list[SeriesInfo]:
    """Return the series that the options choose. Raises `CommandError` if there are none."""
    from lumibot_duckdb.storage.identity import canonical_source
    from lumibot_duckdb.storage.timeframes import canonical_timeframe

    try:
        source = None if arguments.source is None else canonical_source(arguments.source)
        timeframe = None if arguments.timeframe is None else canonical_timeframe(arguments.timeframe)
    except ValueError as error:
        raise CommandError(str(error)) from None
    chosen = [
        info
        for info in series
        if source in (None, info.key.source)
        and timeframe in (None, info.key.timeframe)
        and arguments.adjustment in (None, info.key.adjustment)
    ]
    if not chosen:
        present = "; ".join(info.key.label() for info in series)
        raise CommandError(f"no series matches these options; the store has {present}", exit_code=1)
    return chosen


def _range(start: str | None, end: str | None) -> TimeRange:
    from lumibot_duckdb.storage.api import TimeRange

    first = _ALWAYS[0] if start is None else _moment(start, "--from", days_after=0)
    last = _ALWAYS[1] if end is None else _moment(end, "--to", days_after=1)
    if last <= first:
        raise CommandError(f"--to {end} is not after --from {start}")
    return TimeRange(first, last)


def _moment(text: str, option: str, *, days_after: int) -> int:
    """Return a time, in New York unless it has a zone; a date stands for its first midnight, or one some days later."""
    try:
        return midnight(date.fromisoformat(text) + timedelta(days_after), NEW_YORK)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} {text}: write a date as 2024-01-31, or a time as '2024-01-31 09:30'") from None
    return epoch_seconds(moment if moment.tzinfo is not None else moment.replace(tzinfo=NEW_YORK))


def _listing(info: SeriesInfo, pieces: Sequence[TimeRange]) -> str:
    ranges = [f"  {new_york(piece.start)} to {new_york(piece.end)}" for piece in pieces]
    return "\n".join([f"{printable(info.key.label())}:", *ranges])


def _summary(forgotten: Sequence[tuple[SeriesInfo, Sequence[TimeRange]]], *, dry_run: bool) -> str:
    if not forgotten:
        return "Nothing of this is covered, so the next backtest requests it anyway."
    ranges = count(sum(len(pieces) for _, pieces in forgotten), "range")
    series = count(len(forgotten), "series", "series")
    bars = count(sum(info.rows for info, _ in forgotten), "bar")
    if dry_run:
        return f"{ranges} of {series} would be forgotten. All {bars} would stay."
    return f"{ranges} of {series} forgotten; the next backtest requests them again. All {bars} stay."
