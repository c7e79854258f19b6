"""The options that choose stored series: SYMBOL, `--source`, `--timeframe` and `--adjustment`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import TIMEFRAMES, completed_by, nothing, stored_sources, stored_symbols, words
from lumibot_duckdb.cli.errors import CommandError

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import SeriesInfo


def add_selection(parser: argparse.ArgumentParser, verb: str, *, symbols: str = "+") -> None:
    """Add the options that choose series; `verb` is what the command does with them, as in "forget".

    `symbols` states how many may be named: "+" for at least one, "*" for any number, where none means every series.
    """
    add = parser.add_argument
    completed_by(
        add("symbols", nargs=symbols, metavar="SYMBOL", help="assets, or series as `status` lists them"),
        stored_symbols,
    )
    completed_by(
        add("--source", help=f"{verb} only bars from this source: polygon, yahoo, ..."),
        stored_sources,
    )
    completed_by(
        add("--timeframe", metavar="LENGTH", help=f"{verb} only bars of this length: minute, day, ..."),
        words(TIMEFRAMES),
    )
    completed_by(
        add("--adjustment", metavar="KIND", help=f"{verb} only bars with this adjustment: split, all, ..."), nothing
    )


def selected_series(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> list[SeriesInfo]:
    """Return the series that the options choose. Raises `CommandError` if there are none."""
    from lumibot_duckdb.cli.series import named_series

    if not storage.path.exists():
        raise CommandError(f"there is no store at {storage.path} yet", exit_code=1)
    named = named_series(storage, arguments.symbols) if arguments.symbols else storage.list_series()
    return _matching(named, arguments)


def _matching(series: Sequence[SeriesInfo], arguments: argparse.Namespace) -> list[SeriesInfo]:
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
        raise CommandError(f"no series matches these options; the store has {_named(series)}", exit_code=1)
    return chosen


_NAMED = 10


def _named(series: Sequence[SeriesInfo]) -> str:
    if not series:
        return "no series yet"
    shown = "; ".join(info.key.label() for info in series[:_NAMED])
    return shown + (f"; and {len(series) - _NAMED:,} more" if len(series) > _NAMED else "")
