"""The layout of a series: how the columns of its frames map to the table `bar`, and how different frames combine.

Numbers are in DOUBLE columns, where SQL can use them. Values that a DOUBLE cannot hold exactly (integers above 2**53,
the sign of -0.0) are also stored as 64 bits in a BIGINT column. Booleans, strings and times have columns of their own
type.

When a later frame differs from the first, nothing is lost:
- a column that some rows lack is empty there: integers become float64 (Int64 if float64 cannot hold them), and bool
  becomes boolean;
- numbers of two dtypes become the dtype that holds both exactly;
- what cannot be combined (strings with numbers, times of two zones, ...) is refused.
The new layout belongs to the ingest that needed it; earlier pins are read with the earlier layout.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np

from lumibot_duckdb.storage.times import EpochSeconds

# The index of every frame that is read.
INDEX_NAME = "datetime"
# Lumibot reads these in any case; the store has them in lower case.
PRICES_AND_VOLUME = ("open", "high", "low", "close", "volume")
# Columns that `bar` has from the beginning. All others are added when they first arrive.
ALWAYS_THERE = frozenset((*PRICES_AND_VOLUME, "adj_close", "dividend", "split_ratio"))
# Columns that several sources have, under one name each for SQL.
CANONICAL = (
    *sorted(ALWAYS_THERE),
    "bid",
    "ask",
    "bid_size",
    "ask_size",
    "vwap",
    "trade_count",
)
_OTHER_NAMES = {
    "dividends": "dividend",
    "stock_splits": "split_ratio",
    "adjclose": "adj_close",
    "transactions": "trade_count",
}
_UNITS = ("s", "ms", "us", "ns")
# What an index in nanoseconds can hold, in epoch seconds.
_FIRST_NS = -(2**63) // 10**9 + 1
_LAST_NS = 2**63 // 10**9 - 1
_PLAIN_NAME = re.compile(r"[a-z0-9_]{1,40}")


class Kind(Enum):
    """The kind of values of a dtype, and the type of its column in `bar`."""

    NUMBER = "DOUBLE"
    TRUTH = "BOOLEAN"
    TIME = "BIGINT"
    TEXT = "VARCHAR"


class LayoutConflictError(Exception):
    """Columns cannot be combined. The message names them and the reason."""


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """One column: its name and dtype in frames, and its columns in `bar`.

    `physical` is None for an object column that never held anything but `None`. `missing` is what represents a missing
    value in an object column: "None", "nan" or "NA" ("" while there are none). `mixed` is true if some frames had
    integers in the column and others floating-point numbers.
    """

    name: str
    dtype: str
    physical: str | None
    bits: str | None = None
    missing: str = ""
    has_nulls: bool = False
    mixed: bool = False

    @property
    def kind(self) -> Kind | None:
        """The kind of values in the column; None if it has none."""
        return None if self.physical is None else kind_of(self.dtype)

    def physical_columns(self) -> list[tuple[str, str]]:
        """Return name and SQL type of its columns in `bar`."""
        values = [] if self.physical is None else [(self.physical, kind_of(self.dtype).value)]
        return values if self.bits is None else [*values, (self.bits, "BIGINT")]


@dataclass(frozen=True, slots=True)
class Layout:
    """All columns in the order of the frame, and the resolution of the time index."""

    index_unit: str
    columns: tuple[ColumnLayout, ...] = ()

    def physical(self) -> list[tuple[str, str]]:
        """Return name and SQL type of every column of `bar` that is used."""
        return [each for column in self.columns for each in column.physical_columns()]

    def column(self, name: str) -> ColumnLayout | None:
        """Return a column by its name in frames."""
        return next((column for column in self.columns if column.name == name), None)

    def chosen(self, names: Sequence[str] | None) -> tuple[ColumnLayout, ...]:
        """Return the named columns (None: all); raise KeyError if there is no such column."""
        if names is None:
            return self.columns
        found = {column.name: column for column in self.columns}
        for name in names:
            if name not in found:
                raise KeyError(f"the series has no column {name!r}; it has {', '.join(found)}")
        return tuple(found[name] for name in names)

    def to_json(self) -> str:
        """Return the layout as JSON text. Equal layouts have equal texts."""
        return json.dumps(
            {"index_unit": self.index_unit, "columns": [asdict(column) for column in self.columns]},
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Return the layout of a text from `to_json`."""
        raw = json.loads(text)
        return cls(raw["index_unit"], tuple(ColumnLayout(**column) for column in raw["columns"]))


def kind_of(dtype: str) -> Kind:
    """Return the kind of values of a (supported) dtype."""
    if dtype in ("bool", "boolean"):
        return Kind.TRUTH
    if dtype.startswith("datetime64"):
        return Kind.TIME
    if dtype == "object" or dtype.startswith(("string", "str")):
        return Kind.TEXT
    return Kind.NUMBER


@lru_cache(maxsize=256)
def pandas_dtype(dtype: str) -> Any:
    """Return the pandas or NumPy dtype with a name. Every read needs it several times per column."""
    import pandas as pd  # here, since SQL does without it

    if dtype.startswith("str["):
        return pd.StringDtype(dtype[4:-1], na_value=np.nan)
    return pd.api.types.pandas_dtype(dtype)


def physical_name(name: str, kind: Kind, taken: Iterable[str]) -> str:
    """Return the column of `bar` for a frame's column: one of the canonical ones, or `x_<name>_<type>`.

    DuckDB ignores the case of names, so a name that is not plain gets a digest.
    """
    plain = re.sub(r"\s+", "_", name.strip().lower())
    canonical = _OTHER_NAMES.get(plain, plain)
    if kind is Kind.NUMBER and canonical in CANONICAL and canonical not in set(taken):
        return canonical
    return f"x_{_slug(name)}_{kind.value.lower()}"


def bits_name(name: str) -> str:
    """Return the column of `bar` for the bits of a frame's column that a DOUBLE cannot hold."""
    return f"x_{_slug(name)}_bits"


def combined(old: Layout, new: Layout, *, new_rows: bool, old_rows: bool = True) -> Layout:
    """Return a layout for rows of both. `new` must use the physical columns of `old` for the same names.

    With `old_rows`, there are rows of `old` without the columns that only `new` has. With `new_rows`, the new rows lack
    the columns that only `old` has. Raises `LayoutConflictError`.
    """
    columns = []
    for column in old.columns:
        other = new.column(column.name)
        if other is not None:
            columns.append(_joined(column, other))
        else:
            columns.append(_with_gaps(column) if new_rows else column)
    only_new = [column for column in new.columns if old.column(column.name) is None]
    columns += [_with_gaps(column) for column in only_new] if old_rows else only_new
    return Layout(max(old.index_unit, new.index_unit, key=_UNITS.index), tuple(columns))


def placed_like(new: Layout, stored: Layout) -> Layout:
    """Return a layout whose columns are in the physical columns of stored ones with the same name and kind."""
    columns = []
    taken = {name for name, _ in stored.physical()}
    for column in new.columns:
        old = stored.column(column.name)
        if column.physical is not None and column.kind is not None:
            same = old is not None and old.physical is not None and old.kind is column.kind
            physical = old.physical if same and old else physical_name(column.name, column.kind, taken)
            columns.append(replace(column, physical=physical))
            taken.add(str(physical))
        else:
            columns.append(column)
    return replace(new, columns=tuple(columns))


def same_frame(one: Layout, other: Layout) -> bool:
    """Return whether frames of both layouts have the same columns and dtypes."""
    return one.index_unit == other.index_unit and [(c.name, c.dtype) for c in one.columns] == [
        (c.name, c.dtype) for c in other.columns
    ]


def with_room_for(layout: Layout, times: Iterable[EpochSeconds | None]) -> Layout:
    """Return a layout whose index can hold some times, which one in nanoseconds may not."""
    if layout.index_unit == "ns" and any(t is not None and not _FIRST_NS <= t <= _LAST_NS for t in times):
        return replace(layout, index_unit="us")
    return layout


def in_order_of(new: Layout, old: Layout) -> Layout:
    """Return `new` with its columns in the order of `old`, and further ones at the end."""
    place = {column.name: i for i, column in enumerate(old.columns)}
    return replace(new, columns=tuple(sorted(new.columns, key=lambda c: place.get(c.name, len(place)))))


def _slug(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{re.sub('[^a-z0-9]+', '', name.lower())[:20]}__{digest}"


def _joined(old: ColumnLayout, new: ColumnLayout) -> ColumnLayout:
    if old.physical is None or new.physical is None:
        # One of them held nothing but None, so the other one decides.
        held = new if old.physical is None else old
        return replace(_with_gaps(held), name=old.name, missing=old.missing or new.missing)
    dtype = _common_dtype(old, new)
    return ColumnLayout(
        name=old.name,
        dtype=dtype,
        physical=old.physical,
        bits=old.bits or new.bits,
        missing=old.missing or new.missing,
        has_nulls=old.has_nulls or new.has_nulls,
        mixed=old.mixed or new.mixed or (old.kind is Kind.NUMBER and _is_whole(old.dtype) != _is_whole(new.dtype)),
    )


def _common_dtype(old: ColumnLayout, new: ColumnLayout) -> str:
    if old.dtype == new.dtype:
        return old.dtype
    kinds = {old.kind, new.kind}
    if kinds == {Kind.TRUTH}:
        return "boolean"
    if kinds == {Kind.TEXT}:
        return "object" if "object" in (old.dtype, new.dtype) else old.dtype
    if kinds == {Kind.NUMBER}:
        return _common_number(old, new)
    raise LayoutConflictError(f"column {old.name!r} is stored as {old.dtype} and came as {new.dtype}")


def _common_number(old: ColumnLayout, new: ColumnLayout) -> str:
    plain = np.result_type(*(np.dtype(column.dtype.lower()) for column in (old, new)))
    for column in (old, new):
        if plain.kind == "f" and column.bits is not None and np.dtype(column.dtype.lower()).kind in "iu":
            raise LayoutConflictError(
                f"column {old.name!r} is stored as {old.dtype} and came as {new.dtype}, and it has integers above "
                "2**53, which floating point cannot hold"
            )
    masked = any(_is_masked(column.dtype) for column in (old, new))
    return _masked_name(plain) if masked else plain.name


def _with_gaps(column: ColumnLayout) -> ColumnLayout:
    """Return a column in which some rows have no value."""
    dtype, missing = column.dtype, column.missing
    if dtype == "bool":
        dtype = "boolean"
    elif column.kind is Kind.NUMBER and not _is_masked(dtype) and np.dtype(dtype).kind in "iu":
        dtype = "float64" if column.bits is None else _masked_name(np.dtype(dtype))
    elif dtype == "object":
        missing = missing or "nan"
    return replace(column, dtype=dtype, missing=missing, has_nulls=True)


def _is_whole(dtype: str) -> bool:
    return dtype.lower().startswith(("int", "uint"))


def _is_masked(dtype: str) -> bool:
    return dtype[:1].isupper() or dtype == "boolean"


def _masked_name(dtype: np.dtype[Any]) -> str:
    return {"i": "Int", "u": "UInt", "f": "Float"}[dtype.kind] + str(8 * dtype.itemsize)
