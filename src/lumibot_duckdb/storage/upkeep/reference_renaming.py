"""Renames what is stored of an asset besides its bars: splits and dividends, and option chains.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import UpkeepRefusedError
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.reference.corporate_actions import (
    Identity,
    forget_actions,
    in_order,
    known_actions,
    remember_actions,
)

_IDENTITIES = """
SELECT asset_symbol, asset_type, exchange FROM {db}.corporate_action_check
UNION
SELECT asset_symbol, asset_type, exchange FROM {db}.option_chain
UNION
SELECT asset_symbol, asset_type, exchange FROM {db}.asset_label
"""
_OF_ASSET = "asset_symbol = ? AND asset_type = ? AND exchange = ?"
_CHECKS = f"SELECT source, kind FROM {{db}}.corporate_action_check WHERE {_OF_ASSET} ORDER BY ALL"
_CHAINS = f"""
SELECT chain_id, source, as_of, days_ahead FROM {{db}}.option_chain
WHERE {_OF_ASSET} AND as_of < ? ORDER BY chain_id
"""
_SAME_CHAIN = f"""
SELECT chain_id FROM {{db}}.option_chain
WHERE {_OF_ASSET} AND source = ? AND as_of = ? AND days_ahead IS NOT DISTINCT FROM ?
"""
_RENAME_CHAIN = "UPDATE {db}.option_chain SET asset_symbol = ?, asset_type = ?, exchange = ? WHERE chain_id = ?"


def identities_of(cursor: StoreCursor) -> set[Identity]:
    """Return the assets that have splits, dividends, option chains or labels."""
    return {(name, asset_type, exchange) for name, asset_type, exchange in cursor.rows(_IDENTITIES)}


def move_reference_data(
    cursor: StoreCursor,
    names: Mapping[AssetKey, AssetKey],
    source: str | None,
    before: date | None,
    *,
    staying: Collection[tuple[AssetKey, str]],
    dry_run: bool,
) -> tuple[int, int]:
    """Rename the splits, dividends and option chains of assets; return how many actions and chains these are.

    `source` and `before` (a date) leave out others. `staying` has the assets and sources of which series remain under
    the old name, so that the actions of these remain known, too.
    """
    known = identities_of(cursor)
    actions = chains = 0
    for old, new in names.items():
        if _identity(old) in known:
            actions += _move_actions(cursor, old, new, source, before, staying, dry_run=dry_run)
            chains += _move_chains(cursor, old, new, source, before, dry_run=dry_run)
    return actions, chains


def _move_actions(
    cursor: StoreCursor,
    old: AssetKey,
    new: AssetKey,
    source: str | None,
    before: date | None,
    staying: Collection[tuple[AssetKey, str]],
    *,
    dry_run: bool,
) -> int:
    moved = 0
    for origin, kind in cursor.rows(_CHECKS, list(_identity(old))):
        if source not in (None, origin):
            continue
        here, there = (known_actions(cursor, asset, origin, kind) for asset in (old, new))
        if here is None:
            continue
        leaving = [action for action in here.actions if before is None or action.ex_date < before]
        remaining = [action for action in here.actions if action not in leaving]
        present = () if there is None else there.actions
        for day in sorted({action.ex_date for action in leaving} & {action.ex_date for action in present}):
            both = [[each for each in actions if each.ex_date == day] for actions in (leaving, present)]
            if both[0] != both[1]:
                raise UpkeepRefusedError(
                    f"{old.label()} and {new.label()} have different {kind}s from {origin} on {day}. Delete the series "
                    f"of one of them, or rename only the bars before a date (from_date)"
                )
        moved += len(leaving)
        if dry_run:
            continue
        # The older check, so that the source is queried again in time.
        checked_at = here.checked_at if there is None else min(here.checked_at, there.checked_at)
        remember_actions(cursor, new, in_order([*leaving, *present]), origin, kind, checked_at)
        if remaining or (old, origin) in staying:
            remember_actions(cursor, old, remaining, origin, kind, here.checked_at)
        else:
            forget_actions(cursor, old, origin, kind)
    return moved


def _move_chains(
    cursor: StoreCursor, old: AssetKey, new: AssetKey, source: str | None, before: date | None, *, dry_run: bool
) -> int:
    moved = 0
    for chain_id, origin, as_of, days_ahead in cursor.rows(_CHAINS, [*_identity(old), before or date.max]):
        if source not in (None, origin):
            continue
        moved += 1
        same = cursor.rows(_SAME_CHAIN, [*_identity(new), origin, as_of, days_ahead])
        if same and _content(cursor, same[0][0]) != _content(cursor, chain_id):
            raise UpkeepRefusedError(
                f"{old.label()} and {new.label()} have different option chains from {origin} as of {as_of}. Rename "
                "only what is before a date (from_date)"
            )
        if dry_run:
            continue
        if same:
            for table in ("option_chain_strikes", "option_chain"):
                cursor.execute(f"DELETE FROM {{db}}.{table} WHERE chain_id = ?", [chain_id])
        else:
            cursor.execute(_RENAME_CHAIN, [*_identity(new), chain_id])
    return moved


def _content(cursor: StoreCursor, chain_id: int) -> tuple[object, ...]:
    outline = cursor.rows("SELECT outline FROM {db}.option_chain WHERE chain_id = ?", [chain_id])
    strikes = cursor.rows(
        'SELECT "right", expiration, strikes FROM {db}.option_chain_strikes WHERE chain_id = ? ORDER BY ALL', [chain_id]
    )
    return (*outline, *strikes)


def _identity(asset: AssetKey) -> Identity:
    return published_name(asset), asset.asset_type, asset.exchange
