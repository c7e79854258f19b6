"""The options that choose stored series, which mean the same in every command.

They are SYMBOL, which may be a pattern, `--source`, `--timeframe` and `--adjustment`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import TIMEFRAMES, completed_by, nothing, stored_sources, stored_symbols, words
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.store import no_store
from lumibot_duckdb.cli.suggestions import did_you_mean

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import SeriesInfo, SeriesKey

_NAMED = 10


def add_selection(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options that choose series; `verb` is what the command does with them, as in "forget"."""
    symbols = parser.add_argument(
        "symbols", nargs="*", metavar="SYMBOL", help='assets or series, as `status` lists them, or patterns: "BRK*"'
    )
    completed_by(symbols, stored_symbols)
    add_kinds(parser, verb)


def add_kinds(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options that choose among the series of an asset."""
    add = parser.add_argument
    completed_by(
        add("--source", help=f"{verb} only bars from this source: polygon, yahoo, ..."),
        stored_sources,
    )
    completed_by(
        add("--timeframe", metavar="LENGTH", help=f"{verb} only bars of this length: minute, day, ..."),
        words(TIMEFRAMES),
    )
    completed_by(
        add(
            "--adjustment",
            metavar="KIND",
            help=f'{verb} only bars with this adjustment: split, all, ...; "" for unadjusted bars',
        ),
        nothing,
    )


def selects(arguments: argparse.Namespace) -> bool:
    """Return whether the options choose among the series of the store."""
    kinds = (arguments.source, arguments.timeframe, arguments.adjustment)
    return bool(arguments.symbols) or any(each is not None for each in kinds)


def require_selection(arguments: argparse.Namespace) -> None:
    """Raise `CommandError` unless the options choose series: the command must not mean the whole store by mistake."""
    if not selects(arguments):
        raise CommandError(
            f"nothing says what to {arguments.subcommand}: name a SYMBOL, or choose with --source, --timeframe or "
            "--adjustment (SYMBOL '*' chooses everything)"
        )


def selected_series(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> list[SeriesInfo]:
    """Return the series that the options choose, all without them. Raises `CommandError` if there are none."""
    from lumibot_duckdb.cli.series import named_series

    if not storage.path.exists():
        raise no_store(storage.path)
    named = named_series(storage, arguments.symbols) if arguments.symbols else storage.list_series()
    return of_kind(named, arguments)


def of_kind(series: Sequence[SeriesInfo], arguments: argparse.Namespace) -> list[SeriesInfo]:
    """Return the series that `--source`, `--timeframe` and `--adjustment` choose. Raises `CommandError` without any."""
    wanted = _wanted(arguments)
    chosen = [info for info in series if all(value == part(info.key) for _, value, part in wanted)]
    if chosen:
        return chosen
    for option, value, part in wanted:
        there = sorted({part(info.key) for info in series})
        if series and value not in there:
            shown = printable(value) or "''"
            hint = did_you_mean(value, there) or f"; {_listed(series, [each or repr('') for each in there])}"
            raise CommandError(f"no series matches {option} {shown}{hint}", exit_code=1)
    raise CommandError(f"no series matches these options; {_listed(series)}", exit_code=1)


def _wanted(arguments: argparse.Namespace) -> list[tuple[str, str, Callable[[SeriesKey], str]]]:
    """Return each option that chooses, its value, and the part of a series that has to be equal to it."""
    from lumibot_duckdb.storage.identity import canonical_source
    from lumibot_duckdb.storage.timeframes import canonical_timeframe

    wanted: list[tuple[str, str, Callable[[SeriesKey], str]]] = []
    if arguments.source is not None:
        try:
            wanted.append(("--source", canonical_source(arguments.source), lambda key: key.source))
        except ValueError as error:
            raise CommandError(f"--source {error}") from None
    if arguments.timeframe is not None:
        try:
            wanted.append(("--timeframe", canonical_timeframe(arguments.timeframe), lambda key: key.timeframe))
        except ValueError as error:
            raise CommandError(f"--timeframe {error}") from None
    if arguments.adjustment is not None:
        wanted.append(("--adjustment", arguments.adjustment, lambda key: key.adjustment))
    return wanted


def _listed(series: Sequence[SeriesInfo], kinds: Sequence[str] = ()) -> str:
    """Return what there is to choose: a few series by name, else the kinds of an option."""
    if not series:
        return "the store has no series yet"
    if kinds and len(series) > _NAMED:
        return f"there {'is' if len(kinds) == 1 else 'are'} {', '.join(kinds)}"
    shown = "; ".join(printable(info.key.label()) for info in series[:_NAMED])
    more = f"; and {len(series) - _NAMED:,} more" if len(series) > _NAMED else ""
    return f"there {'is' if len(series) == 1 else 'are'} {shown}{more}"
