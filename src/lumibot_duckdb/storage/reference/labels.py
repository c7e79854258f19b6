"""Labels of assets in the store: the values of names such as "sector", and when they were set.

All values of a name that an asset has are set together. Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.bars.row_inserts import insert_rows, rows_of
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.identity import asset_of_published_name, published_name, refuse_unstorable
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import aware_utc, naive_utc

_CHOSEN = "lumibot_duckdb_labels"
_NAME = pa.schema([(column, pa.string()) for column in ("asset_symbol", "asset_type", "exchange", "name")])
_ROW = pa.schema([*_NAME, ("value", pa.string()), ("labelled_at", pa.timestamp("us"))])
STORED = "SELECT asset_symbol, asset_type, exchange, name, value, labelled_at FROM {db}.asset_label"
_DELETE = f"DELETE FROM {{db}}.asset_label USING {_CHOSEN} AS chosen WHERE " + " AND ".join(
    f"asset_label.{column} = chosen.{column}" for column in _NAME.names
)


@dataclass(frozen=True, slots=True)
class LabelValues:
    """The values of a name that an asset has, sorted, and when they were set (UTC)."""

    values: tuple[str, ...]
    set_at: datetime


Labels: TypeAlias = "dict[AssetKey, dict[str, LabelValues]]"
"""The labels of assets by their names."""


def checked_name(name: object) -> str:
    """Return the name of a label in lower case; ValueError unless it can be one."""
    text = _text(name, "the name of a label").lower()
    if "=" in text:
        raise ValueError(f"{name!r} cannot name a label, because of the '=': write a word such as \"sector\"")
    return text


def checked_value(value: object) -> str:
    """Return the value of a label; ValueError unless it can be one."""
    return _text(value, "the value of a label")


def written_label(name: object, values: Sequence[object], set_at: datetime) -> LabelValues:
    """Return a label that was stored or exported; ValueError unless this package writes such ones."""
    known = tuple(sorted({checked_value(value) for value in values}))
    if checked_name(name) != name or not known or [*known] != [*values]:
        raise ValueError(f"the label {name!r} has a name or values that this package does not write")
    return LabelValues(known, set_at)


def _text(text: object, what: str) -> str:
    refuse_unstorable(text)
    found = str(text).strip()
    if not found or not found.isprintable():
        raise ValueError(f'{text!r} cannot be {what}: write a word such as "sector" or "Technology"')
    return found


def stored_labels(cursor: StoreCursor, assets: Collection[AssetKey] | None = None) -> Labels:
    """Return the labels of some assets, or of all. Raises `StoreDamagedError`."""
    if assets is None:
        rows = cursor.rows(STORED)
    else:
        names = [published_name(asset) for asset in assets]
        rows = cursor.rows(f"{STORED} WHERE asset_symbol IN (SELECT unnest(?::VARCHAR[]))", [names])
    with reading("the labels of assets"):
        found = labels_of_rows(rows)
    return found if assets is None else {asset: labels for asset, labels in found.items() if asset in assets}


def labels_of_rows(rows: Iterable[Sequence[Any]]) -> Labels:
    """Return the labels in rows of `STORED`. Raises ValueError for such as this package does not write."""
    values: dict[tuple[str, str, str, str], tuple[list[str], datetime]] = {}
    for symbol, asset_type, exchange, name, value, set_at in rows:
        values.setdefault((symbol, asset_type, exchange, name), ([], set_at))[0].append(value)
    found: Labels = {}
    for (*identity, name), (of_name, set_at) in values.items():
        labels = found.setdefault(asset_of_published_name(*identity), {})
        labels[name] = written_label(name, sorted(of_name), aware_utc(set_at))
    return found


def set_labels(cursor: StoreCursor, changes: Mapping[tuple[AssetKey, str], LabelValues | None]) -> None:
    """Give names of assets other values instead of those that they have; None removes them."""
    if not changes:
        return
    keys = {(asset, name): (published_name(asset), asset.asset_type, asset.exchange, name) for asset, name in changes}
    cursor.register(_CHOSEN, rows_of(_NAME, list(keys.values())))
    cursor.execute(_DELETE)
    cursor.unregister(_CHOSEN)
    rows = [
        (*keys[which], value, naive_utc(labels.set_at))
        for which, labels in changes.items()
        if labels is not None
        for value in labels.values
    ]
    insert_rows(cursor, "asset_label", _ROW, rows)


def newer_labels(
    cursor: StoreCursor, incoming: Mapping[AssetKey, Mapping[str, LabelValues]]
) -> dict[tuple[AssetKey, str], LabelValues | None]:
    """Return those of some incoming labels that were set later than the stored ones, as `set_labels` takes them.

    Of two that were set at the same time, the greater ones count as later, so that two stores get the same labels from
    each other.
    """
    stored = stored_labels(cursor, incoming.keys())
    found: dict[tuple[AssetKey, str], LabelValues | None] = {}
    for asset, labels in incoming.items():
        for name, there in labels.items():
            here = stored.get(asset, {}).get(name)
            if here is None or (there.set_at, there.values) > (here.set_at, here.values):
                found[asset, name] = there
    return found
