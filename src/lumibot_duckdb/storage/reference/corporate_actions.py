"""Splits and dividends: what a source last had for an asset, and which series they restate.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from lumibot_duckdb.storage.api import AssetKey, CorporateAction, KnownActions
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import InvalidRecordError
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import aware_utc, naive_utc

_OF_ASSET = "asset_symbol = ? AND asset_type = ? AND exchange = ? AND source = ? AND kind = ?"
# Adjusted prices of options follow the splits of their underlying.
_RESTATED = """
SELECT series_id
FROM {db}.series JOIN {db}.asset USING (asset_id)
WHERE asset.symbol = ? AND asset.asset_type IN ('stock', 'option') AND series.source = ?
    AND list_contains(CAST(? AS VARCHAR[]), series.adjustment)
ORDER BY series_id
"""


_NEEDED = {"split": ("split_from", "split_to"), "dividend": ("amount",)}


def refuse_unusable(
    asset: AssetKey, actions: Sequence[CorporateAction], kind: str, checked_at: datetime | None
) -> None:
    """Raise `InvalidRecordError` for actions that cannot be stored."""
    needed = _NEEDED.get(kind)
    if needed is None:
        raise InvalidRecordError(f"{kind!r} is not a kind of corporate action: pass one of {', '.join(_NEEDED)}")
    for action in actions:
        if any(getattr(action, name) is None for name in needed):
            raise InvalidRecordError(f"the {kind} of {asset.label()} on {action.ex_date} lacks {' or '.join(needed)}")
    if checked_at is not None and checked_at.tzinfo is None:
        raise InvalidRecordError(f"the time of the check, {checked_at}, has no time zone; pass a tz-aware datetime")


def in_order(actions: Iterable[CorporateAction]) -> tuple[CorporateAction, ...]:
    """Return actions sorted by ex-date, without duplicates."""
    return tuple(
        sorted(set(actions), key=lambda a: (a.ex_date, a.split_from or 0.0, a.split_to or 0.0, a.amount or 0.0))
    )


def known_actions(cursor: StoreCursor, asset: AssetKey, source: str, kind: str) -> KnownActions | None:
    """Return the actions of the last query; None if there was none."""
    which = _identity(asset, source, kind)
    checks = cursor.rows(f"SELECT checked_at FROM {{db}}.corporate_action_check WHERE {_OF_ASSET}", which)
    if not checks:
        return None
    found = cursor.rows(
        f"SELECT ex_date, split_from, split_to, amount FROM {{db}}.corporate_action WHERE {_OF_ASSET}", which
    )
    with reading(f"a {kind} of {asset.label()}"):
        return KnownActions(
            checked_at=aware_utc(checks[0][0]),
            actions=in_order(CorporateAction(*row) for row in found),
        )


def remember_actions(
    cursor: StoreCursor,
    asset: AssetKey,
    actions: Sequence[CorporateAction],
    source: str,
    kind: str,
    checked_at: datetime,
) -> bool:
    """Replace the stored actions; return whether there were any before and they differ."""
    which = _identity(asset, source, kind)
    before = known_actions(cursor, asset, source, kind)
    after = in_order(actions)
    cursor.execute(f"DELETE FROM {{db}}.corporate_action_check WHERE {_OF_ASSET}", which)
    cursor.execute(
        "INSERT INTO {db}.corporate_action_check VALUES (?, ?, ?, ?, ?, ?)",
        [*which, naive_utc(checked_at)],
    )
    if before is not None and before.actions == after:
        return False
    cursor.execute(f"DELETE FROM {{db}}.corporate_action WHERE {_OF_ASSET}", which)
    for action in after:
        cursor.execute(
            "INSERT INTO {db}.corporate_action VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [*which, action.ex_date, action.split_from, action.split_to, action.amount],
        )
    return before is not None


def restated_series(cursor: StoreCursor, symbol: str, source: str, adjustments: Sequence[str]) -> list[int]:
    """Return the ids of a source's series with such adjustments, of the symbol's stock and of options on it."""
    return [series_id for (series_id,) in cursor.rows(_RESTATED, [symbol, source, list(adjustments)])]


def _identity(asset: AssetKey, source: str, kind: str) -> list[str]:
    return [published_name(asset), asset.asset_type, asset.exchange, source, kind]
