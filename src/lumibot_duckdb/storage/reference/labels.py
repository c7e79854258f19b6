"""Labels of assets in the store: the values of names such as "sector", and when they were set.

All values of a name that an asset has are set together. Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

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
_STORED = "SELECT asset_symbol, asset_type, exchange, name, value, labelled_at FROM {db}.asset_label"
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
    text = _text(name, "the name of a label").casefold()
    if "=" in text:
        raise ValueError(f"{name!r} cannot name a label, because of the '=': write a word such as \"sector\"")
    return text


def checked_value(value: object) -> str:
    """Return the value of a label; ValueError unless it can be one."""
    return _text(value, "the value of a label")


def _text(text: object, what: str) -> str:
    refuse_unstorable(text)
    found = str(text).strip()
    if not found or not found.isprintable():
        raise ValueError(f'{text!r} cannot be {what}: write a word such as "sector" or "Technology"')
    return found


def stored_labels(cursor: StoreCursor, assets: Collection[AssetKey] | None = None) -> Labels:
    """Return the labels of some assets, or of all."""
    if assets is None:
        rows = cursor.rows(_STORED)
    else:
        names = [published_name(asset) for asset in assets]
        rows = cursor.rows(f"{_STORED} WHERE asset_symbol IN (SELECT unnest(?::VARCHAR[]))", [names])
    found: dict[tuple[str, str, str], dict[str, tuple[list[str], datetime]]] = {}
    for symbol, asset_type, exchange, name, value, set_at in rows:
        of_asset = found.setdefault((symbol, asset_type, exchange), {})
        of_asset.setdefault(name, ([], set_at))[0].append(value)
    labels: Labels = {}
    for identity, of_asset in found.items():
        with reading(f"the labels of {identity[0]}"):
            asset = asset_of_published_name(*identity)
            if assets is None or asset in assets:
                labels[asset] = {
                    checked_name(name): LabelValues(tuple(sorted(map(checked_value, values))), aware_utc(set_at))
                    for name, (values, set_at) in of_asset.items()
                }
    return labels


def set_labels(cursor: StoreCursor, changes: Mapping[tuple[AssetKey, str], LabelValues | None]) -> None:
    """Give names of assets other values instead of those that they have; None removes them."""
    if not changes:
        return
    keys = {
        which: (published_name(asset), asset.asset_type, asset.exchange, name)
        for which in changes
        for asset, name in [which]
    }
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
