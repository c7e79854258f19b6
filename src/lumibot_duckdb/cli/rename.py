"""`lumibot-duckdb rename`: gives bars another symbol, from a date on or altogether."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.assets import asset_named, find_assets, has_type, stored_assets
from lumibot_duckdb.cli.completers import completed_by, nothing, stored_symbols
from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import one_change
from lumibot_duckdb.cli.layout import count, printable
from lumibot_duckdb.cli.selection import add_kinds, of_kind
from lumibot_duckdb.cli.series import labelled, series_of
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.cli.time_range import chosen_moment
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey, AssetLike
    from lumibot_duckdb.storage.upkeep.renaming import RenamedSeries, RenameReport

_DESCRIPTION = """\
Rename an asset in the store, because its symbol has changed, as from FB to META, or was wrong.

A symbol means every asset that has it: the stock, and the options on it. Coverage, splits, dividends, option chains
and labels are renamed, too. What will be renamed is listed first, and nothing is changed before you agree.

With --from, OLD was the symbol before that date and NEW is the symbol since: bars from before the date become bars of
NEW, so that a backtest across the date sees one series. Later bars of OLD, perhaps of another company, stay.

If NEW has the same series already, it gets the bars of both; they must not differ at the same time. To undo a rename,
exchange OLD and NEW.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb rename FB META --from 2022-06-09
  lumibot-duckdb rename "FB stock" META --source polygon --dry-run
  lumibot-duckdb rename MATIC/USD POL/USD --from 2024-09-04 --yes

exit codes: 0 success; 1 the store has nothing to rename, bars differ, or the answer was no; 2 wrong usage; 3 the store
cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    completed_by(add("old", metavar="OLD", help="the asset, as `status` lists it, or its symbol"), stored_symbols)
    completed_by(add("new", metavar="NEW", help="its new symbol; it need not be in the store"), stored_symbols)
    completed_by(
        add(
            "--from",
            dest="start",
            metavar="TIME",
            help="the first date or time of NEW; bars from before it are renamed",
        ),
        nothing,
    )
    add_kinds(parser, "rename")
    add_yes(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    start = None if arguments.start is None else chosen_moment(arguments.start, "--from")
    storage = existing_store(arguments.store)
    try:
        old, new = _assets(storage, arguments)
        report = _renamed(storage, old, new, start, arguments, dry_run=True)
        if not arguments.json:
            print("\n".join(map(_line, report.series)))
        if not arguments.dry_run:
            confirm(f"Rename {_amount(report)}?", arguments)
            with Progress(f"Renaming {_amount(report)}"), one_change():
                report = _renamed(storage, old, new, start, arguments, dry_run=False)
    finally:
        storage.close()
    print(json.dumps(_as_json(report), indent=2) if arguments.json else _summary(report))
    return 0


def _assets(
    storage: DuckDBDataStorage, arguments: argparse.Namespace
) -> tuple[str | AssetKey | list[AssetKey], AssetLike]:
    """Return what OLD and NEW stand for. Raises `CommandError`."""
    from lumibot_duckdb.storage.identity import EXPIRING_TYPES
    from lumibot_duckdb.storage.name_patterns import is_pattern

    for info in labelled(storage, arguments.old):
        key = info.key
        adjustment = printable(key.adjustment) or '""'
        raise CommandError(
            f"{printable(arguments.old)} is a series: name its asset, {printable(key.asset.label())!r}, and choose the "
            f"series with --source {key.source} --timeframe {key.timeframe} --adjustment {adjustment}"
        )
    stored = stored_assets(storage.path)
    found = find_assets(arguments.old, stored)
    if is_pattern(arguments.old) and len(found) > 1:
        names = ", ".join(asset.label() for asset in found[:5])
        raise CommandError(f"{arguments.old} means {len(found)} assets ({names}): rename them one by one")
    of_kind(series_of(storage, found), arguments)
    symbol = found[0].symbol
    of_symbol = [asset for asset in stored if asset.symbol == symbol]
    is_symbol = set(found) == set(of_symbol) and arguments.old.strip().upper() == symbol
    types = {asset.asset_type for asset in found}
    name = arguments.new.strip()
    if not name:
        raise CommandError("NEW is empty: name the new symbol")
    named = asset_named(name if has_type(name) else f"{name} {types.pop() if len(types) == 1 else 'stock'}")
    if named.right is not None and not has_type(name):
        named = asset_named(name)  # an option, whatever OLD is
    further = (named.quote, named.expiration, named.strike, named.right)
    if further == (None, None, None, None) and not has_type(name):
        return (symbol if is_symbol else found), named.symbol
    if len(found) > 1:
        names = ", ".join(asset.label() for asset in found[:5])
        raise CommandError(
            f"{arguments.old} means {len(found)} assets ({names}): name one of them, or only NEW's symbol"
        )
    (asset,) = found
    keeps_contract = named.asset_type in EXPIRING_TYPES  # else an earlier release may have given it one by mistake
    return asset, replace(
        asset,
        symbol=named.symbol,
        asset_type=named.asset_type,
        quote=named.quote or asset.quote,
        expiration=named.expiration or (asset.expiration if keeps_contract else None),
        strike=asset.strike if named.strike is None and keeps_contract else named.strike,
        right=named.right or (asset.right if keeps_contract else None),
    )


def _renamed(
    storage: DuckDBDataStorage,
    old: str | AssetKey | list[AssetKey],
    new: AssetLike,
    start: int | None,
    arguments: argparse.Namespace,
    *,
    dry_run: bool,
) -> RenameReport:
    from lumibot_duckdb.storage.errors import SeriesNotFoundError, UpkeepRefusedError
    from lumibot_duckdb.storage.times import moment_of

    try:
        return storage.rename(
            old,
            new,
            None if start is None else moment_of(start),
            source=arguments.source,
            timeframe=arguments.timeframe,
            adjustment=arguments.adjustment,
            dry_run=dry_run,
        )
    except (SeriesNotFoundError, UpkeepRefusedError) as error:
        raise CommandError(str(error).replace("from_date", "--from"), exit_code=1) from None
    except ValueError as error:
        raise CommandError(str(error)) from None


def _line(series: RenamedSeries) -> str:
    text = f"{printable(series.old.label())} -> {printable(series.new.asset.label())}: {count(series.bars, 'bar')}"
    if series.kept:
        text += f"; {count(series.kept, 'later bar')} stay{'s' if series.kept == 1 else ''}"
    text += "; joins the bars that are there" if series.joined else ""
    return text + ("; the old series stays without bars, because a snapshot has it" if series.stays else "")


def _amount(report: RenameReport) -> str:
    parts = [f"{count(len(report.series), 'series', 'series')} with {count(report.bars, 'bar')}"]
    if report.actions:
        parts.append(count(report.actions, "split or dividend", "splits and dividends"))
    if report.option_chains:
        parts.append(count(report.option_chains, "option chain"))
    if report.labels:
        parts.append(count(report.labels, "label"))
    return ", ".join(parts)


def _summary(report: RenameReport) -> str:
    return f"{_amount(report)} {'would be renamed' if report.dry_run else 'renamed'}."


def _as_json(report: RenameReport) -> dict[str, Any]:
    return {
        "dry_run": report.dry_run,
        "renamed": _series_as_json(report.series),
        "actions": report.actions,
        "option_chains": report.option_chains,
        "labels": report.labels,
    }


def _series_as_json(series: Sequence[RenamedSeries]) -> list[dict[str, Any]]:
    return [
        {
            "old": key_as_json(each.old),
            "new": key_as_json(each.new),
            "bars": each.bars,
            "kept": each.kept,
            "joined": each.joined,
            "stays": each.stays,
        }
        for each in series
    ]
