"""How incoming bars differ from the stored ones, to the bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.columns import in_time_order, single_array, stored_rows
from lumibot_duckdb.storage.bars.layout import ColumnLayout, Layout
from lumibot_duckdb.storage.bars.version_state import VersionState
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import timestamp_literal
from lumibot_duckdb.storage.times import EpochSeconds, Int64Array

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars, InputColumn


Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"


@dataclass(frozen=True, slots=True)
class Difference:
    """Which incoming bars are new and which change a stored bar, as masks; and the times of stored bars to remove."""

    added: Mask
    changed: Mask
    removed: Int64Array

    @property
    def rewrites(self) -> bool:
        """Whether stored bars are changed or removed."""
        return bool(self.changed.any()) or len(self.removed) > 0


def difference(cursor: StoreCursor, before: VersionState, bars: InputBars, replaced: TimeRange | None) -> Difference:
    """Compare bars with the stored bars of the same stretch of time.

    With `replaced`, the bars are all there is in that range: stored bars in it that they lack are removed, and stored
    values in columns that they lack are changed to nothing.
    """
    span = _span(bars, replaced)
    if span is None or before.first is None or before.last is None or span[0] > before.last or span[1] < before.first:
        return Difference(np.ones(len(bars), bool), np.zeros(len(bars), bool), np.empty(0, np.int64))
    first, last = map(timestamp_literal, span)
    condition = f"version_id = {before.version_id} AND ts BETWEEN {first} AND {last}"
    stored, times = in_time_order(stored_rows(cursor, before.layout.columns, condition))
    at = np.minimum(np.searchsorted(times, bars.times), max(len(times) - 1, 0))
    known = times[at] == bars.times if len(times) else np.zeros(len(bars), bool)
    changed = known.copy()
    if known.any():
        old = stored.take(pa.array(at[known]))
        changed[known] = _differing(old, before.layout, bars, known, whole_rows=replaced is not None)
    removed = np.empty(0, np.int64)
    if replaced is not None:
        inside = times[(times >= replaced.start) & (times < replaced.end)]
        removed = inside[~np.isin(inside, bars.times, assume_unique=True)]
    return Difference(~known, changed, removed)


def _span(bars: InputBars, replaced: TimeRange | None) -> tuple[EpochSeconds, EpochSeconds] | None:
    """Return the first and last time at which stored bars matter; None if none do."""
    bounds = [int(t) for t in bars.times[[0, -1]]] if len(bars) else []
    if replaced is not None and replaced.start < replaced.end:
        bounds += [replaced.start, replaced.end - 1]
    return (min(bounds), max(bounds)) if bounds else None


def _differing(old: pa.Table, layout: Layout, bars: InputBars, known: Mask, *, whole_rows: bool) -> Mask:
    """Return which stored rows differ from the incoming ones (those that `known` selects) in an incoming column.

    Stored values in columns that did not come in are kept, so they do not count; with `whole_rows` they do.
    """
    differs = np.zeros(old.num_rows, bool)
    incoming = {column.layout.name: column for column in bars.columns}
    pick = pa.array(known)
    for name in {column.name for column in layout.columns} | set(incoming):
        there, here = layout.column(name), incoming.get(name)
        if here is None and not whole_rows:
            continue
        differs |= ~_same_values(old, there, here, pick)
    return differs


def _same_values(old: pa.Table, there: ColumnLayout | None, here: InputColumn | None, pick: pa.Array) -> Mask:
    """Return in which rows a stored column and the picked incoming one hold the same, to the bit."""
    stored = _column(old, there.physical if there else None)
    stored_bits = _column(old, there.bits if there else None)
    incoming = here.values.filter(pick) if here is not None and here.values is not None else None
    incoming_bits = here.bits.filter(pick) if here is not None and here.bits is not None else None
    rows = old.num_rows
    return _same_array(stored, incoming, rows) & _same_array(stored_bits, incoming_bits, rows)


def _column(table: pa.Table, name: str | None) -> pa.Array | None:
    return None if name is None else single_array(table[name])


def _same_array(one: pa.Array | None, other: pa.Array | None, rows: int) -> Mask:
    import pyarrow.compute as pc  # here, since it takes a while, and a SQL query does without it

    if one is None or other is None:
        given = one if one is not None else other
        return np.ones(rows, bool) if given is None else _mask(given.is_null())
    both_null = _mask(one.is_null()) & _mask(other.is_null())
    if one.type != other.type:
        return both_null
    equal = _mask(pc.fill_null(pc.equal(one, other), False))
    if pa.types.is_floating(one.type):
        equal |= _mask(pc.fill_null(pc.and_(pc.is_nan(one), pc.is_nan(other)), False))
    return both_null | equal


def _mask(values: pa.Array) -> Mask:
    found: Mask = values.to_numpy(zero_copy_only=False)
    return found
