"""Reads all bars of a store once, in order of version and time, about a hundred thousand at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.bars.checksums import checked_columns
from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.times import Int64Array
from lumibot_duckdb.storage.upkeep.store_copy import Piece

ROWS_AT_A_TIME = 122_880
"""As many rows as DuckDB keeps in a row group: about 10 MB with ten columns."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bars of a version, sorted by time. `is_last`: the version has no later ones."""

    version_id: int
    times: Int64Array
    is_last: bool
    piece: dict[str, pa.Array]
    start: int

    @property
    def columns(self) -> dict[str, pa.Array]:
        """All columns of `bar` but version and time."""
        return {name: column.slice(self.start, len(self.times)) for name, column in self.piece.items()}


def stretches(
    connection: StoreConnection, pieces: Sequence[Piece], on_piece: Callable[[int], None] | None = None
) -> Iterator[Stretch]:
    """Yield the bars of all versions. Each piece is read in a block of its own, so others can write in between.

    `on_piece` receives how many rows each piece has, once it was looked at.
    """
    for piece, following in zip_longest(pieces, pieces[1:]):
        more = following is not None and piece.times is not None and following.versions == piece.versions
        with connection.read() as cursor:
            names = checked_columns(cursor)
            listed = ", ".join(f'"{name}"' for name in names)
            table = cursor.arrow(f"SELECT version_id, ts, {listed} FROM {{db}}.bar WHERE {piece.condition()}")
        yield from _by_version(table, names, is_last=not more)
        if on_piece is not None:
            on_piece(piece.rows)


def _by_version(table: pa.Table, names: Sequence[str], *, is_last: bool) -> Iterator[Stretch]:
    if not table.num_rows:
        return
    versions = single_array(table["version_id"]).to_numpy()
    times = single_array(table["ts"]).view(pa.int64()).to_numpy()
    later = versions[1:] > versions[:-1]
    if not bool((later | ((versions[1:] == versions[:-1]) & (times[1:] >= times[:-1]))).all()):
        order = np.lexsort((times, versions))
        table, versions, times = table.take(pa.array(order)), versions[order], times[order]
        later = versions[1:] > versions[:-1]
    columns = {name: single_array(table[name]) for name in names}
    starts = [0, *(np.flatnonzero(later) + 1).tolist()]
    for start, stop in zip(starts, [*starts[1:], len(versions)], strict=True):
        yield Stretch(int(versions[start]), times[start:stop], is_last, columns, start)
