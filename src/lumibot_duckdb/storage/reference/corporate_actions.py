"""Splits and dividends: what a source last had for an asset, and which series they restate.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import Any, TypeAlias

from lumibot_duckdb.storage.api import AssetKey, CorporateAction, KnownActions
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import InvalidRecordError, StorageError
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import aware_utc, naive_utc

_KNOWN = """
SELECT asset_symbol, asset_type, exchange, checked_at, NULL::DATE AS ex_date, NULL::DOUBLE AS split_from,
    NULL::DOUBLE AS split_to, NULL::DOUBLE AS amount
FROM {db}.corporate_action_check WHERE {which}
UNION ALL
SELECT asset_symbol, asset_type, exchange, NULL, ex_date, split_from, split_to, amount
FROM {db}.corporate_action WHERE {which}
"""
_OF_SOURCE = "source = $source AND kind = $kind"
_OF_SOME = f"{_OF_SOURCE} AND asset_symbol IN (SELECT unnest($names))"
_OF_ASSET = "asset_symbol = ? AND asset_type = ? AND exchange = ? AND source = ? AND kind = ?"
# Adjusted prices of options follow the splits of their underlying.
_RESTATED = """
SELECT series_id
FROM {db}.series JOIN {db}.asset USING (asset_id)
WHERE asset.symbol = ? AND asset.asset_type IN ('stock', 'option') AND series.source = ?
    AND list_contains(CAST(? AS VARCHAR[]), series.adjustment)
ORDER BY series_id
"""


Identity: TypeAlias = "tuple[str, str, str]"
"""Name, type and exchange of an asset, as these tables name it."""

_FEW = 4
"""So many assets are looked up one by one if a source has many actions."""
_FEW_ROWS = 1_000
"""So many rows of all assets are read at the first look-up, which takes hardly longer than those of one asset."""

KINDS = ("split", "dividend")
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


class ActionsInUse:
    """The actions of a source that were looked up in one state of the store.

    Backtests look up one asset after another. So the actions of all are read at once: at the first look-up if they are
    few, else after a few assets.
    """

    def __init__(self, source: str, kind: str) -> None:
        self._source, self._kind = source, kind
        self._known: dict[Identity, KnownActions | None] = {}
        self._looked_for_few = False
        self._has_all = False

    def of(self, asset: AssetKey, read: Callable[[], AbstractContextManager[StoreCursor]]) -> KnownActions | None:
        """Return the actions of the last query for an asset; None if there was none. `read` gives a cursor."""
        identity = _identity(asset)
        if identity not in self._known and not self._has_all:
            with read() as cursor:
                self._read(cursor, identity)
        return self._known.get(identity)

    def _read(self, cursor: StoreCursor, identity: Identity) -> None:
        if not self._looked_for_few:
            self._looked_for_few = True
            every = _known_rows(cursor, self._source, self._kind, None, at_most=_FEW_ROWS + 1)
            if len(every) <= _FEW_ROWS:
                with suppress(StorageError):  # a damaged record of another asset
                    self._known |= _by_asset(every, self._kind)
                    self._has_all = True
                    return
        some = len(self._known) < _FEW
        found = _stored_actions(cursor, self._source, self._kind, [identity[0]] if some else None)
        self._known |= {identity: None, **found}
        self._has_all = not some


def known_actions(cursor: StoreCursor, asset: AssetKey, source: str, kind: str) -> KnownActions | None:
    """Return the actions of the last query; None if there was none."""
    return actions_of(cursor, [asset], source, kind).get(asset)


def actions_of(
    cursor: StoreCursor, assets: Collection[AssetKey], source: str, kind: str
) -> dict[AssetKey, KnownActions]:
    """Return the actions of the last query for each of some assets for which there was one."""
    identities = {asset: _identity(asset) for asset in assets}
    found = _stored_actions(cursor, source, kind, list({name for name, _, _ in identities.values()}))
    return {asset: found[identity] for asset, identity in identities.items() if identity in found}


def _stored_actions(
    cursor: StoreCursor, source: str, kind: str, names: Sequence[str] | None
) -> dict[Identity, KnownActions]:
    """Return the actions of the last query for the assets with some names (None: for each asset)."""
    return _by_asset(_known_rows(cursor, source, kind, names), kind)


def _known_rows(
    cursor: StoreCursor, source: str, kind: str, names: Sequence[str] | None, *, at_most: int | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of the last queries, and of what they found, for the assets with some names (None: for each)."""
    parameters: dict[str, object] = {"source": source, "kind": kind}
    if names is not None:
        parameters["names"] = names
    query = _KNOWN.replace("{which}", _OF_SOURCE if names is None else _OF_SOME)
    return cursor.rows(query if at_most is None else f"{query} LIMIT {at_most}", parameters)


def _by_asset(rows: Iterable[tuple[Any, ...]], kind: str) -> dict[Identity, KnownActions]:
    checks: dict[Identity, datetime] = {}
    actions: dict[Identity, list[CorporateAction]] = {}
    for *identity, checked_at, ex_date, split_from, split_to, amount in rows:
        of = (identity[0], identity[1], identity[2])
        if checked_at is not None:
            checks.setdefault(of, checked_at)
            continue
        with reading(f"a {kind} of {of[0]}"):
            actions.setdefault(of, []).append(CorporateAction(ex_date, split_from, split_to, amount))
    return {of: KnownActions(aware_utc(at), in_order(actions.get(of, ()))) for of, at in checks.items()}


def remember_actions(
    cursor: StoreCursor,
    asset: AssetKey,
    actions: Sequence[CorporateAction],
    source: str,
    kind: str,
    checked_at: datetime,
) -> bool:
    """Replace the stored actions; return whether there were any before and they differ."""
    which = [*_identity(asset), source, kind]
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


def forget_actions(cursor: StoreCursor, asset: AssetKey, source: str, kind: str) -> None:
    """Forget the actions of an asset, and that the source was queried for them."""
    for table in ("corporate_action", "corporate_action_check"):
        cursor.execute(f"DELETE FROM {{db}}.{table} WHERE {_OF_ASSET}", [*_identity(asset), source, kind])


def restated_series(cursor: StoreCursor, symbol: str, source: str, adjustments: Sequence[str]) -> list[int]:
    """Return the ids of a source's series with such adjustments, of the symbol's stock and of options on it."""
    return [series_id for (series_id,) in cursor.rows(_RESTATED, [symbol, source, list(adjustments)])]


def _identity(asset: AssetKey) -> Identity:
    return published_name(asset), asset.asset_type, asset.exchange
