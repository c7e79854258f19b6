"""Turns stored Arrow columns back into the bars that were stored: NumPy arrays, pandas frames, Arrow tables.

A query result consists of chunks. Numbers are copied once, from each chunk into one array for all columns of the same
dtype, the layout that pandas uses, so that a frame needs no further copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytz

from lumibot_duckdb.storage.api import BarArrays
from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.bars.layout import INDEX_NAME, ColumnLayout, Kind, Layout, pandas_dtype
from lumibot_duckdb.storage.errors import StoreDamagedError
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import Int64Array

# The very object that Lumibot uses, so that index dtypes compare equal.
NEW_YORK = pytz.timezone("America/New_York")

_MISSING: dict[str, Any] = {"": None, "None": None, "nan": np.nan, "NA": pd.NA}
_NO_TIME = np.iinfo(np.int64).min


def bar_arrays(table: pa.Table, times: Int64Array, columns: Sequence[ColumnLayout]) -> BarArrays:
    """Return a stored table, with its bar starts, as NumPy arrays that nobody else holds.

    A view of the times would keep all columns of the table in memory, since DuckDB hands them over as a whole.
    """
    return BarArrays(times.copy(), _arrays(table, columns))


def protect(bars: BarArrays) -> None:
    """Make arrays read-only, since the cache and several callers may hold them."""
    for array in (bars.times, *bars.columns.values()):
        array.setflags(write=False)


def frame(table: pa.Table, times: Int64Array, layout: Layout) -> pd.DataFrame:
    """Return a stored table, with its bar starts, as the frame that was stored. It shares no memory with the table."""
    arrays = _arrays(table, layout.columns)
    names = [column.name for column in layout.columns]
    data: Any = _common_block([arrays[name] for name in names])
    if data is not None and all(isinstance(pandas_dtype(column.dtype), np.dtype) for column in layout.columns):
        data = data.T
    else:
        data = {column.name: _pandas_array(arrays[column.name], column) for column in layout.columns}
    index = time_index(times, layout.index_unit)
    # A view for each frame, since a user may name its columns.
    made: pd.DataFrame = pd.DataFrame(data, index=index, columns=_index_of_names(tuple(names)).view(), copy=False)
    return made


def time_index(times: Int64Array, unit: str) -> pd.DatetimeIndex:
    """Return bar starts as Lumibot's frames have them: in New York time, at the resolution that was stored."""
    # pandas takes integers as UTC even if a zone is given; tz_localize would copy them.
    ticks = times * TICKS_PER_SECOND[unit]
    index: pd.DatetimeIndex = pd.DatetimeIndex(ticks, dtype=_new_york_dtype(unit), name=INDEX_NAME)
    return index


@lru_cache(maxsize=8)
def _new_york_dtype(unit: str) -> pd.DatetimeTZDtype:
    return pd.DatetimeTZDtype(unit, NEW_YORK)


@lru_cache(maxsize=256)
def _index_of_names(names: tuple[str, ...]) -> pd.Index:
    index: pd.Index = pd.Index(list(names))
    return index


def arrow_table(table: pa.Table, layout: Layout) -> pa.Table:
    """Return a stored table with the frame's columns and types. Missing values are null."""
    columns = {
        INDEX_NAME: single_array(table["ts"]).cast(pa.timestamp(layout.index_unit)).cast(_utc(layout.index_unit))
    }
    for column in layout.columns:
        columns[column.name] = _arrow_column(table, column)
    return pa.table(columns)


def size_in_bytes(bars: BarArrays) -> int:
    """Return about how much memory the arrays take. A Python object in them counts as 64 bytes."""
    arrays = (bars.times, *bars.columns.values())
    return sum(array.nbytes + (64 * array.size if array.dtype == object else 0) for array in arrays)


def _utc(unit: str) -> pa.DataType:
    return pa.timestamp(unit, "UTC")


def _is_plain(table: pa.Table, column: ColumnLayout) -> bool:
    """Return whether a column has a NumPy dtype, a DOUBLE holds all its values, and missing ones are NaN."""
    if column.kind is not Kind.NUMBER or column.physical is None:
        return False
    dtype, masked = _number_dtype(column)
    gaps = table[column.physical].null_count
    has_bits = column.bits is not None and table[column.bits].null_count < table.num_rows
    return not has_bits and not (gaps and (masked or dtype.kind != "f"))


def _arrays(table: pa.Table, columns: Sequence[ColumnLayout]) -> dict[str, np.ndarray[Any, Any]]:
    plain = _plain_arrays(table, [column for column in columns if _is_plain(table, column)])
    return {c.name: plain[c.name] if c.name in plain else _array(table, c) for c in columns}


def _plain_arrays(table: pa.Table, columns: Sequence[ColumnLayout]) -> dict[str, np.ndarray[Any, Any]]:
    """Copy plain columns out of the chunks of a table: those of one dtype are the rows of one array."""
    alike: dict[np.dtype[Any], list[ColumnLayout]] = {}
    for column in columns:
        alike.setdefault(_number_dtype(column)[0], []).append(column)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for dtype, members in alike.items():
        block = np.empty((len(members), table.num_rows), dtype)
        for row, column in zip(block, members, strict=True):
            begin = 0
            for piece in table[column.physical].chunks:
                row[begin : begin + len(piece)] = piece.to_numpy(zero_copy_only=False)
                begin += len(piece)
            arrays[column.name] = row
    return arrays


def _common_block(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any] | None:
    """Return the array of `_plain_arrays` whose rows are these columns, all of a table; None if there is none."""
    block = arrays[0].base if arrays else None
    if not isinstance(block, np.ndarray) or block.ndim != 2 or len(block) != len(arrays):
        return None
    return block if all(array.base is block for array in arrays) else None


def _array(table: pa.Table, column: ColumnLayout) -> np.ndarray[Any, Any]:
    if column.physical is None:
        return np.full(table.num_rows, _MISSING[column.missing], dtype=object)
    stored = single_array(table[column.physical])
    if column.kind is Kind.NUMBER:
        return _number_array(table, stored, column)
    if column.kind is Kind.TIME:
        dtype = pandas_dtype(column.dtype)
        unit = dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else np.datetime_data(dtype)[0]
        return np.array(stored.fill_null(_NO_TIME).to_numpy(zero_copy_only=False).view(f"M8[{unit}]"))
    if column.kind is Kind.TRUTH and stored.null_count == 0:
        return np.array(stored.to_numpy(zero_copy_only=False), dtype=bool)
    objects = np.array(stored.to_numpy(zero_copy_only=False), dtype=object)
    if stored.null_count:
        objects[stored.is_null().to_numpy(zero_copy_only=False)] = _missing_value(column)
    return objects


def _number_array(table: pa.Table, stored: pa.Array, column: ColumnLayout) -> np.ndarray[Any, Any]:
    dtype, masked = _number_dtype(column)
    if stored.null_count and (masked or dtype.kind != "f"):
        if not masked:
            raise StoreDamagedError(f"column {column.name!r} is {column.dtype} but has empty rows; run `verify`")
        numbers = np.array(_exact(table, stored.fill_null(0.0), column, dtype), dtype=object)
        numbers[stored.is_null().to_numpy(zero_copy_only=False)] = pd.NA
        return numbers
    return _exact(table, stored, column, dtype)


def _exact(table: pa.Table, stored: pa.Array, column: ColumnLayout, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return numbers in their own dtype, including the bits that a DOUBLE does not hold."""
    doubles = stored.to_numpy(zero_copy_only=False)
    bits = single_array(table[column.bits]) if column.bits is not None else None
    if bits is None or bits.null_count == len(bits):
        exact: np.ndarray[Any, Any] = doubles.astype(dtype, copy=False)
        return exact
    has_bits = bits.is_valid().to_numpy(zero_copy_only=False)
    wide = np.dtype({"i": np.int64, "u": np.uint64, "f": np.float64}[dtype.kind])
    values = np.where(has_bits, 0.0, doubles).astype(wide)
    values[has_bits] = bits.fill_null(0).to_numpy(zero_copy_only=False).view(wide)[has_bits]
    return values.astype(dtype)


def _number_dtype(column: ColumnLayout) -> tuple[np.dtype[Any], bool]:
    dtype = pandas_dtype(column.dtype)
    return (dtype, False) if isinstance(dtype, np.dtype) else (dtype.numpy_dtype, True)


def _missing_value(column: ColumnLayout) -> Any:
    if column.dtype == "object":
        return _MISSING[column.missing]
    return np.nan if column.dtype.startswith("str[") else pd.NA


def _pandas_array(values: np.ndarray[Any, Any], column: ColumnLayout) -> Any:
    dtype = pandas_dtype(column.dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(dtype.tz)
    return values if isinstance(dtype, np.dtype) else _extension_array(values, column, dtype)


def _extension_array(values: np.ndarray[Any, Any], column: ColumnLayout, dtype: Any) -> Any:
    if column.kind is not Kind.NUMBER:
        return pd.array(values, dtype=dtype)
    # Through the constructor, since pd.array would turn NaN, which is a value here, into NA.
    gaps = np.zeros(len(values), bool)
    if values.dtype == object:
        gaps = np.fromiter((value is pd.NA for value in values), bool, len(values))
        values = np.where(gaps, 0, values).astype(dtype.numpy_dtype)
    return dtype.construct_array_type()(values.copy(), gaps)


def _arrow_column(table: pa.Table, column: ColumnLayout) -> pa.Array:
    if column.physical is None:
        return pa.nulls(table.num_rows)
    stored = single_array(table[column.physical])
    if column.kind is Kind.TIME:
        dtype = pandas_dtype(column.dtype)
        if isinstance(dtype, pd.DatetimeTZDtype):
            return stored.cast(pa.timestamp(dtype.unit, str(dtype.tz)))
        return stored.cast(pa.timestamp(np.datetime_data(dtype)[0]))
    if column.kind is not Kind.NUMBER:
        return stored
    dtype, _ = _number_dtype(column)
    if column.bits is None:
        return stored if dtype == np.float64 else pc.cast(stored, pa.from_numpy_dtype(dtype), safe=False)
    gaps = stored.is_null().to_numpy(zero_copy_only=False)
    return pa.array(_exact(table, stored.fill_null(0.0), column, dtype), mask=gaps)
