"""`lumibot-duckdb status`: which bars are in the store."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, new_york, printable, size, table
from lumibot_duckdb.cli.page_file import check_page_file, write_page_file
from lumibot_duckdb.cli.selection import add_selection, selected_series, selects
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import chosen_path, no_store, open_store
from lumibot_duckdb.cli.without_bars import hint, reasons
from lumibot_duckdb.progress import Progress
from lumibot_duckdb.storage.times import NEW_YORK, moment_of

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import SeriesInfo, TimeRange
    from lumibot_duckdb.storage.bars.spool import Spool
    from lumibot_duckdb.storage.errors import StoreDamagedError
    from lumibot_duckdb.storage.upkeep.findings import VerificationReport

SERIES_IN_TABLE = 50
_RANGES_SHOWN = 10
_LABELS = """
SELECT asset_symbol, asset_type, exchange, name, string_agg(value, ', ' ORDER BY value) AS value
FROM asset_labels GROUP BY ALL ORDER BY ALL
"""

_DESCRIPTION = """\
Show which bars are in the store.

There is one line for each series, with its number of bars, its first and last bar, and its coverage: how much of the
time in between a source has answered for. With SYMBOLs, the covered ranges and labels are listed too. Some ranges are
provisional: a source had no bars there although the market was open, so it is asked again once they have expired. Times
are New York time.

With --html, a page is written instead: one file with the size by source and timeframe, the growth, a calendar of
coverage and gaps, provisional coverage, and what waits in the spool. With --verify it has the findings of `verify` too.
The page of a damaged store has what can be read. An HTML page of that name is replaced; any other file is not.

A SYMBOL may be written as this command prints it (BTC/USD crypto, SPY 2024-01-19 470 CALL option), with or without the
type, or in another usual spelling (btc-usd, ETH_BTC, USDJPY, SPY240119C00470000, O:SPY240119C00470000).
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb status
  lumibot-duckdb status AAPL BTC/USD
  lumibot-duckdb status "SPY 2024-01-19 470 CALL option"
  lumibot-duckdb status --source polygon --timeframe minute
  lumibot-duckdb status --html status.html
  lumibot-duckdb status --json | jq '.series[] | select(.bars > 100000) | .symbol'

exit codes: 0 success; 1 the store has no such series; 2 wrong usage, or the page cannot be written;
3 the store cannot be used, the disk is full, the page lacks what cannot be read, or --verify found damage.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_selection(parser, "show")
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"list every series, even of more than {SERIES_IN_TABLE}, and every range",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots to this file")
    parser.add_argument(
        "--verify", action="store_true", help="with --html: read and check the whole store, as `verify`"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    path = chosen_path(arguments.store)
    if arguments.verify and arguments.html is None:
        raise CommandError("--verify is for the page: name its file with --html")
    if arguments.html is not None:
        check_page_file(arguments.html)
    from lumibot_duckdb.storage.bars.spool import Spool

    spool = Spool(path)
    if not path.exists():
        if arguments.html is not None:
            raise no_store(path)
        _print_absent(path, spool, arguments.json)
        return 0
    storage = open_store(arguments.store)
    fragmented = tables = labels = ""
    report: VerificationReport | None = None
    try:
        series = selected_series(storage, arguments) if selects(arguments) else storage.list_series()
        damage: list[StoreDamagedError] = []
        if arguments.html is not None:
            report = _write_page(storage, series, arguments, damage.append)
        elif not arguments.json:
            fragmented = _fragmented(storage)
            tables = _tables(storage, series, arguments)
            labels = _labels(storage, series) if arguments.symbols else ""
    finally:
        storage.close()
    on_disk = path.stat().st_size
    if arguments.json:
        print(json.dumps(_as_json(path, on_disk, series, spool), indent=2))
        _refuse_damaged(damage, report)
        return 0
    if arguments.html is not None:
        print(f"The page is in {printable(str(arguments.html))}.")
    else:
        print(tables + labels + "\n")
    bars = count(sum(info.rows for info in series), "bar")
    name = printable(str(path))
    print(f"{name}: {size(on_disk)}, {count(len(series), 'series', 'series')}, {bars}. Times are New York time.")
    if fragmented:
        print(fragmented)
    _print_spooled(spool)
    _refuse_damaged(damage, report)
    return 0


def _refuse_damaged(damage: Sequence[StoreDamagedError], report: VerificationReport | None) -> None:
    """Raise `CommandError` if the page lacks something, or the verification on it found damage."""
    if damage:
        raise CommandError(f"the page lacks what cannot be read: {damage[0]}", exit_code=3)
    if report is not None and not report.sound:
        found = count(report.counts()["error"], "error")
        raise CommandError(
            f"the store is damaged: {found}, which the page and `lumibot-duckdb verify` list", exit_code=3
        )


def _fragmented(storage: DuckDBDataStorage) -> str:
    """Return a sentence about a store that should be compacted; nothing for others."""
    from lumibot_duckdb.storage.upkeep.automatic_upkeep import SMALLEST_BYTES

    if storage.path.stat().st_size < SMALLEST_BYTES:
        return ""
    found = storage.fragmentation()
    if not found.exceeds(storage.settings.get("compact.threshold")):
        return ""
    return "It is fragmented: `lumibot-duckdb compact` makes it smaller, or faster to read."


def _tables(storage: DuckDBDataStorage, series: Sequence[SeriesInfo], arguments: argparse.Namespace) -> str:
    if not series:
        return "The store has no series yet."
    if arguments.symbols:
        return _series_table(series) + "\n\n" + _covered(series, reasons(storage, series), arguments.all)
    notes = [hint(series)]
    if arguments.all or len(series) <= SERIES_IN_TABLE:
        listed = _series_table(series)
    else:
        listed = _totals_table(series)
        notes.insert(0, "--all lists every series, SYMBOL the series of one symbol.")
    return "\n\n".join([listed, *(["\n".join(filter(None, notes))] if any(notes) else [])])


def _labels(storage: DuckDBDataStorage, series: Sequence[SeriesInfo]) -> str:
    """Return a line for each asset that has labels; nothing if none has."""
    from lumibot_duckdb.storage.identity import published_name

    found: dict[tuple[str, str, str], list[str]] = {}
    for row in storage.sql(_LABELS).to_pylist():
        asset = (row["asset_symbol"], row["asset_type"], row["exchange"])
        found.setdefault(asset, []).append(f"{row['name']} {row['value']}")
    assets = dict.fromkeys(info.key.asset for info in series)
    known = ((asset, found.get((published_name(asset), asset.asset_type, asset.exchange), ())) for asset in assets)
    return "".join(
        f"\n{printable(asset.label())}, labels: {printable('; '.join(each))}" for asset, each in known if each
    )


def _write_page(
    storage: DuckDBDataStorage,
    series: Sequence[SeriesInfo],
    arguments: argparse.Namespace,
    on_damage: Callable[[StoreDamagedError], None],
) -> VerificationReport | None:
    """Write the page; return the verification on it, if there is one."""
    from lumibot_duckdb.store_page import status_page

    report = None
    if arguments.verify:
        with Progress("Verifying") as progress:
            report = storage.verify(series, progress.update)
    with Progress("Reading the days of series", len(series)) as progress:
        page = status_page(
            storage,
            series=series if selects(arguments) else None,
            verification=report,
            on_series=progress.advance,
            on_damage=on_damage,
        )
    write_page_file(arguments.html, page)
    return report


def _print_spooled(spool: Spool) -> None:
    for sentence in spool.sentences():
        print(printable(sentence) + ".")


def _print_absent(path: Path, spool: Spool, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(path, 0, [], spool), indent=2))
        return
    print(f"There is no store at {printable(str(path))} yet.")
    print("Fill it with `lumibot-duckdb import FILE...` or `lumibot-duckdb migrate`, or try `lumibot-duckdb demo`.")
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


def _covered(series: Sequence[SeriesInfo], without_bars: Mapping[int, str], every: bool) -> str:
    lines = []
    for info in series:
        label = printable(info.key.label())
        if info.series_id in without_bars:
            lines.append(f"{label}: {without_bars[info.series_id]}")
        elif not info.coverage:
            lines.append(f"{label}: nothing is covered")
        if not info.coverage:
            continue
        lines.append(f"{label}, covered:")
        shown = info.coverage if every else info.coverage[:_RANGES_SHOWN]
        lines += [f"  {new_york(piece.start)} to {new_york(piece.end)}" for piece in shown]
        if len(shown) < len(info.coverage):
            lines.append(f"  and {len(info.coverage) - len(shown):,} more (--all shows them)")
        lines += _provisional(info, every)
    return "\n".join(lines)


def _provisional(info: SeriesInfo, every: bool) -> list[str]:
    if not info.provisional:
        return []
    shown = info.provisional if every else info.provisional[:_RANGES_SHOWN]
    lines = ["  of which these are provisional:"]
    for each in shown:
        until = new_york(int(each.expires.timestamp()) // 60 * 60)
        lines.append(f"    {new_york(each.within.start)} to {new_york(each.within.end)}, expires {until}")
    if len(shown) < len(info.provisional):
        lines.append(f"    and {len(info.provisional) - len(shown):,} more (--all shows them)")
    return lines


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
    return {
        **key_as_json(info.key),
        "bars": info.rows,
        "first": _iso(info.first),
        "last": _iso(info.last),
        "coverage": [_range_as_json(piece) for piece in info.coverage],
        "provisional": [
            {**_range_as_json(each.within), "expires": each.expires.astimezone(NEW_YORK).isoformat(timespec="seconds")}
            for each in info.provisional
        ],
    }


def _range_as_json(piece: TimeRange) -> dict[str, str | None]:
    return {"start": _iso(piece.start), "end": _iso(piece.end)}


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else moment_of(seconds, NEW_YORK).isoformat()
