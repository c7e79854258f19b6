"""Renames the labels of assets. Everything here runs inside one transaction of the caller."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import UpkeepRefusedError
from lumibot_duckdb.storage.reference.labels import LabelValues, set_labels, stored_labels


def move_labels(
    cursor: StoreCursor, names: Mapping[AssetKey, AssetKey], staying: Collection[AssetKey], *, dry_run: bool
) -> int:
    """Give assets the labels that they have under their old names; return how many labels these are.

    `staying` has the assets that keep series under the old name, and so their labels, too. Raises
    `UpkeepRefusedError` if an asset has other values under its new name.
    """
    labels = stored_labels(cursor, {*names, *names.values()})
    changes: dict[tuple[AssetKey, str], LabelValues | None] = {}
    moved = 0
    for old, new in names.items():
        for name, here in labels.get(old, {}).items():
            there = labels.get(new, {}).get(name, here)
            if there.values != here.values:
                raise UpkeepRefusedError(
                    f"{old.label()} and {new.label()} have different labels: {name} is {', '.join(here.values)}, and "
                    f"{', '.join(there.values)}. Remove the label of one of them first"
                )
            moved += 1
            changes[new, name] = LabelValues(here.values, max(here.set_at, there.set_at))
            if old not in staying:
                changes[old, name] = None
    if not dry_run:
        set_labels(cursor, changes)
    return moved
