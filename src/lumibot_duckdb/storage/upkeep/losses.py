"""What a store has that a backup of it, or another store, lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.bars.columns import bar_columns
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.catalog import Head
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.upkeep.store_copy import Piece, pieces

_PAIR = "lumibot_duckdb_pair"
_STORED = "lumibot_duckdb_stored"
_NOT_VALUES = ("version_id", "ts", "ingest_id")


@dataclass(frozen=True, slots=True)
class Loss:
    """What would be lost of a series: all of it (`whole`), or bars that the backup lacks or has with other values."""

    key: SeriesKey
    whole: bool
    missing: int
    different: int = 0


def losses(store: OpenStore, backup: OpenStore) -> list[Loss]:
    """Return what the current versions in `store` have that those in `backup` lack, by series."""
    ours, theirs = _heads(store), _heads(backup)
    same_store = store.catalog.store_id == backup.catalog.store_id
    found = [Loss(key, True, head.rows) for key, head in ours.items() if key not in theirs]
    pairs = {
        head.version_id: (key, theirs[key].version_id)
        for key, head in ours.items()
        if key in theirs and head.rows and not (same_store and head == theirs[key])
    }
    counted = _count(store, backup, {ours: theirs for ours, (_, theirs) in pairs.items()})
    found += [
        Loss(pairs[version][0], False, missing, different)
        for version, (missing, different) in counted.items()
        if missing or different
    ]
    return sorted(found, key=lambda loss: (not loss.whole, loss.key.label()))


def _heads(store: OpenStore) -> dict[SeriesKey, Head]:
    store.refresh()
    found = ((record.key, store.catalog.head(record.series_id)) for record in store.catalog.everything(None, None))
    return {key: head for key, head in found if head is not None}


def _count(store: OpenStore, backup: OpenStore, pairs: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Return how many bars of each of our versions are missing in its counterpart, and how many are different there."""
    if not pairs:
        return {}
    with store.connection.read() as cursor:
        todo = pieces(cursor, set(pairs))
        values = [name for name, _ in bar_columns(cursor) if name not in _NOT_VALUES]
    counted: dict[int, tuple[int, int]] = {}
    for piece in todo:
        with store.connection.read() as cursor:
            rows = _bars(cursor, piece, values, pairs)
        with backup.connection.read() as cursor:
            for version, missing, different in _compared(cursor, piece, values, pairs, rows):
                before = counted.get(version, (0, 0))
                counted[version] = (before[0] + missing, before[1] + different)
    return counted


def _bars(cursor: StoreCursor, piece: Piece, values: Sequence[str], versions: Iterable[int]) -> pa.Table:
    """Return the bars of a piece that are in `versions`, each with a hash of its values."""
    cursor.register(_PAIR, pa.table({"version_id": pa.array(versions, pa.int32())}))
    return cursor.arrow(
        f"SELECT version_id, ts, {_hash(cursor, values)} AS hash FROM {{db}}.bar "
        f"WHERE {piece.condition()} AND version_id IN (FROM {_PAIR})"
    )


def _compared(
    cursor: StoreCursor, piece: Piece, values: Sequence[str], pairs: dict[int, int], rows: pa.Table
) -> list[tuple[int, int, int]]:
    first, last = piece.versions
    within = {ours: theirs for ours, theirs in pairs.items() if first <= ours <= last}
    columns = {"ours": pa.array(within.keys(), pa.int32()), "theirs": pa.array(within.values(), pa.int32())}
    cursor.register(_PAIR, pa.table(columns))
    cursor.register(_STORED, rows)
    theirs = Piece((min(within.values()), max(within.values())), piece.rows, piece.times)
    query = (
        sql_file("lost_bars.sql").replace("{hash}", _hash(cursor, values)).replace("{condition}", theirs.condition())
    )
    return cursor.rows(query)


def _hash(cursor: StoreCursor, values: Sequence[str]) -> str:
    """Return SQL for a hash of some columns of `bar`. One that the store lacks is empty."""
    there = {name for name, _ in bar_columns(cursor)}
    return f"hash({', '.join(f'{chr(34)}{name}{chr(34)}' if name in there else 'NULL' for name in values)})"
