"""`lumibot-duckdb status`: what is in the store."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, new_york, printable, size, table
from lumibot_duckdb.cli.store import chosen_path, open_store
from lumibot_duckdb.storage.times import NEW_YORK, moment_of

if TYPE_CHECKING:
    from lumibot_duckdb.storage.api import SeriesInfo, TimeRange
    from lumibot_duckdb.storage.bars.spool import Spool

SERIES_IN_TABLE = 50
_RANGES_SHOWN = 10

_DESCRIPTION = """\
Show what is in the store: every series with its bars, first and last bar and coverage, which is how much of that time
was asked for and answered. Of a SYMBOL (AAPL, BTC/USD) the covered ranges too. Times are New York.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb status
  lumibot-duckdb status AAPL BTC/USD
  lumibot-duckdb status --json | jq '.series[] | select(.bars > 100000) | .symbol'
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "status", help="show what is in the store", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="show only the series of these symbols")
    parser.add_argument(
        "--all", action="store_true", help=f"show every series, also when there are more than {SERIES_IN_TABLE}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    path = chosen_path(arguments.store)
    from lumibot_duckdb.storage.bars.spool import Spool

    spool = Spool(path)
    if not path.exists():
        _print_absent(path, spool, arguments.json)
        return 0
    storage = open_store(arguments.store)
    try:
        series = storage.list_series() if not arguments.symbols else _of_symbols(storage, arguments.symbols)
    finally:
        storage.close()
    on_disk = path.stat().st_size
    if arguments.json:
        print(json.dumps(_as_json(path, on_disk, series, spool), indent=2))
        return 0
    if not series:
        print("The store has no series yet.\n")
    elif arguments.symbols:
        print(_series_table(series) + "\n\n" + _covered(series, arguments.all) + "\n")
    elif arguments.all or len(series) <= SERIES_IN_TABLE:
        print(_series_table(series) + "\n")
    else:
        print(_totals_table(series) + "\n\n--all shows every series, SYMBOL those of one symbol.\n")
    bars = count(sum(info.rows for info in series), "bar")
    name = printable(str(path))
    print(f"{name}: {size(on_disk)}, {count(len(series), 'series', 'series')}, {bars}. Times are New York.")
    _print_spooled(spool)
    return 0


def _of_symbols(storage: Any, symbols: Sequence[str]) -> list[SeriesInfo]:
    found: dict[int, SeriesInfo] = {}
    for symbol in symbols:
        series = storage.list_series(symbol) if symbol.strip() else []
        if not series:
            raise CommandError(f"the store has no bars of {printable(symbol) or repr(symbol)}", exit_code=1)
        found.update({info.series_id: info for info in series})
    return list(found.values())


def _print_spooled(spool: Spool) -> None:
    for sentence in spool.sentences():
        print(printable(sentence) + ".")


def _print_absent(path: Path, spool: Spool, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(path, 0, [], spool), indent=2))
        return
    print(f"There is no store yet. It would be {printable(str(path))}")
    print("Fill it with `lumibot-duckdb import FILE...`, or try `lumibot-duckdb demo`.")
    _print_spooled(spool)


def _series_table(series: Sequence[SeriesInfo]) -> str:
    header = ("asset", "source", "timeframe", "adjusted", "bars", "first bar", "last bar", "coverage")
    rows = [
        (
            printable(info.key.asset.label()),
            printable(info.key.source),
            info.key.timeframe,
            printable(info.key.adjustment),
            f"{info.rows:,}",
            new_york(info.first),
            new_york(info.last),
            _coverage(info),
        )
        for info in series
    ]
    return table(header, rows, right=[False, False, False, False, True, False, False, False])


def _coverage(info: SeriesInfo) -> str:
    if not info.coverage:
        return "none"
    first, last = info.coverage[0], info.coverage[-1]
    whole = info.first is None or info.last is None or (first.start <= info.first and info.last < last.end)
    if len(info.coverage) == 1 and whole:
        return "whole"
    return f"{len(info.coverage)} ranges" if len(info.coverage) > 1 else "in part"


def _covered(series: Sequence[SeriesInfo], every: bool) -> str:
    lines = []
    for info in series:
        lines.append(f"{printable(info.key.label())}, covered:")
        shown = info.coverage if every else info.coverage[:_RANGES_SHOWN]
        lines += [f"  {new_york(piece.start)} to {new_york(piece.end)}" for piece in shown]
        if len(shown) < len(info.coverage):
            lines.append(f"  and {len(info.coverage) - len(shown):,} more (--all shows them)")
    return "\n".join(lines)


def _totals_table(series: Sequence[SeriesInfo]) -> str:
    groups: dict[tuple[str, str, str], list[SeriesInfo]] = {}
    for info in series:
        groups.setdefault((info.key.source, info.key.timeframe, info.key.asset.asset_type), []).append(info)
    rows = [
        (
            *map(printable, group),
            f"{len(members):,}",
            f"{sum(info.rows for info in members):,}",
            new_york(min((info.first for info in members if info.first is not None), default=None)),
            new_york(max((info.last for info in members if info.last is not None), default=None)),
        )
        for group, members in sorted(groups.items())
    ]
    header = ("source", "timeframe", "assets", "series", "bars", "first bar", "last bar")
    return table(header, rows, right=[False, False, False, True, True, False, False])


def _as_json(path: Path, on_disk: int, series: Sequence[SeriesInfo], spool: Spool) -> dict[str, Any]:
    return {
        "path": str(path),
        "exists": path.exists(),
        "bytes": on_disk,
        "bars": sum(info.rows for info in series),
        "spooled_bars": spool.contents().bars,
        "series": [_series_as_json(info) for info in series],
    }


def _series_as_json(info: SeriesInfo) -> dict[str, Any]:
    asset = info.key.asset
    return {
        "symbol": asset.symbol,
        "asset_type": asset.asset_type,
        "quote": asset.quote,
        "exchange": asset.exchange,
        "expiration": asset.expiration and asset.expiration.isoformat(),
        "strike": asset.strike,
        "right": asset.right,
        "multiplier": asset.multiplier,
        "source": info.key.source,
        "timeframe": info.key.timeframe,
        "adjustment": info.key.adjustment,
        "bars": info.rows,
        "first": _iso(info.first),
        "last": _iso(info.last),
        "coverage": [_range_as_json(piece) for piece in info.coverage],
    }


def _range_as_json(piece: TimeRange) -> dict[str, str | None]:
    return {"start": _iso(piece.start), "end": _iso(piece.end)}


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else moment_of(seconds, NEW_YORK).isoformat()
