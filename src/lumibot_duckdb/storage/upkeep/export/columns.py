"""The columns of an exported file: the values of a series as everyone reads them, and back into what is stored.

The first column is `datetime`, the start of the bar in UTC, in microseconds. Then come the columns of the frame.
Missing values are null. The layout in the manifest has what these types do not tell.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.bars.input_checks import InputBars, InputColumn, checked_times, exact_numbers
from lumibot_duckdb.storage.bars.layout import (
    INDEX_NAME,
    PRICES_AND_VOLUME,
    ColumnLayout,
    Kind,
    Layout,
    bits_name,
    pandas_dtype,
    physical_name,
)
from lumibot_duckdb.storage.bars.output import arrow_table
from lumibot_duckdb.storage.errors import InvalidExportError
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import UTC, Int64Array, epoch_seconds

_TIME = pa.timestamp("us", "UTC")
_FIRST, _LAST = epoch_seconds(datetime(1, 1, 1, tzinfo=UTC)), epoch_seconds(datetime(9999, 12, 31, tzinfo=UTC))


def schema_of(layout: Layout, file_format: str) -> pa.Schema:
    """Return the columns of a file for a series."""
    columns = [(column.name, _type_of(column, file_format)) for column in layout.columns]
    return pa.schema([(INDEX_NAME, _TIME), *columns])


def file_table(stored: pa.Table, layout: Layout, schema: pa.Schema, label: str) -> pa.Table:
    """Return stored rows as rows of a file. Raises `InvalidExportError` if its format cannot hold them."""
    values = arrow_table(stored, layout)
    times = single_array(stored["ts"]).cast(pa.timestamp("us")).cast(_TIME)
    columns = [times]
    for field in list(schema)[1:]:
        try:
            columns.append(_converted(single_array(values[field.name]), field.type))
        except pa.ArrowInvalid:
            raise _too_far(label, field.name) from None
        if pa.types.is_timestamp(field.type) and field.type.unit != "ns":
            _refuse_far_times(columns[-1], field, label)
    return pa.table(columns, schema=schema)


def bars_of(table: pa.Table, layout: Layout) -> InputBars:
    """Return rows of a file, whose schema is that of the layout, as bars to store.

    Nothing in them is trusted. Raises ValueError if a series of this layout cannot have such bars.
    """
    ticks = single_array(table[INDEX_NAME])
    if ticks.null_count:
        raise ValueError("a bar has no time")
    times = checked_times(ticks.view(pa.int64()).to_numpy(), "us")
    if layout.index_unit == "ns" and len(times):
        pd.DatetimeIndex(times[[0, -1]].astype("M8[s]")).as_unit("ns")  # OutOfBoundsDatetime is a ValueError
    columns: list[InputColumn] = []
    taken: set[str] = set()
    for column in layout.columns:
        made = _input_column(single_array(table[column.name]), column, taken)
        columns.append(made)
        if made.layout.physical is not None:
            taken.add(made.layout.physical)
    if len(times) and not set(PRICES_AND_VOLUME[:4]) & {column.name for column in layout.columns}:
        raise ValueError("none of its columns is open, high, low or close")
    return InputBars(times, layout.index_unit, tuple(columns))


def _type_of(column: ColumnLayout, file_format: str) -> pa.DataType:
    if column.physical is None or column.kind is Kind.TEXT:
        return pa.string()
    if column.kind is Kind.TRUTH:
        return pa.bool_()
    dtype = pandas_dtype(column.dtype)
    if column.kind is Kind.NUMBER:
        plain = dtype if isinstance(dtype, np.dtype) else dtype.numpy_dtype
        # Not every reader knows halves.
        return pa.from_numpy_dtype(np.dtype(np.float32) if plain == np.float16 else plain)
    zoned = isinstance(dtype, pd.DatetimeTZDtype)
    unit = dtype.unit if zoned else np.datetime_data(dtype)[0]
    if unit == "s" and file_format == "parquet":  # which has no seconds
        unit = "ms"
    return pa.timestamp(unit, "UTC" if zoned else None)


def _converted(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    if values.type == wanted:
        return values
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), wanted)
    if pa.types.is_timestamp(wanted):
        # A zone is only how times are shown; the stored ticks are in UTC.
        plain = values.view(pa.int64()).view(pa.timestamp(values.type.unit))
        return plain.cast(pa.timestamp(wanted.unit)).view(pa.int64()).view(wanted)
    return pc.cast(values, wanted)


def _refuse_far_times(values: pa.Array, field: pa.Field, label: str) -> None:
    """Refuse times that programs cannot read: text has four digits for the year."""
    bounds = pc.min_max(values.view(pa.int64())).as_py()
    per_second = TICKS_PER_SECOND[field.type.unit]
    for ticks in bounds.values():
        if ticks is not None and not _FIRST <= ticks // per_second < _LAST:
            raise _too_far(label, field.name)


def _too_far(label: str, column: str) -> InvalidExportError:
    return InvalidExportError(
        f"{label}: column {column!r} has times outside of the years 1 to 9999, which files cannot hold; leave this "
        "series out"
    )


# -- back --------------------------------------------------------------------------------------------------------


def _input_column(values: pa.Array, column: ColumnLayout, taken: set[str]) -> InputColumn:
    if column.physical is None or column.kind is None:
        if values.null_count < len(values):
            raise ValueError(f"its column {column.name!r} should be empty")
        return InputColumn(_described(column, None, None, gaps=len(values) > 0), None, None)
    if values.null_count and _needs_values(column):
        raise ValueError(f"its column {column.name!r} is {column.dtype} but lacks values")
    bits = None
    if column.kind is Kind.NUMBER:
        values, bits = _numbers(values, column)
        if bits is not None and column.bits is None:
            raise ValueError(f"its column {column.name!r} has numbers that its manifest denies")
    elif column.kind is Kind.TIME:
        values = _ticks(values, column)
    physical = physical_name(column.name, column.kind, taken)
    name_of_bits = None if column.bits is None else bits_name(column.name)
    return InputColumn(_described(column, physical, name_of_bits, gaps=values.null_count > 0), values, bits)


def _described(column: ColumnLayout, physical: str | None, bits: str | None, *, gaps: bool) -> ColumnLayout:
    missing = column.missing or ("None" if gaps and column.dtype == "object" else "")
    return ColumnLayout(
        column.name, column.dtype, physical, bits, missing, has_nulls=column.has_nulls or gaps, mixed=column.mixed
    )


def _needs_values(column: ColumnLayout) -> bool:
    """Return whether a dtype has nothing that stands for a missing value."""
    dtype = pandas_dtype(column.dtype)
    return isinstance(dtype, np.dtype) and dtype.kind in "biu"


def _numbers(values: pa.Array, column: ColumnLayout) -> tuple[pa.Array, pa.Array | None]:
    dtype = pandas_dtype(column.dtype)
    masked = not isinstance(dtype, np.dtype)
    plain: np.dtype[Any] = dtype.numpy_dtype if masked else dtype
    gaps = values.is_null().to_numpy(zero_copy_only=False)
    if values.null_count:
        values = values.fill_null(pa.scalar(0, values.type) if plain.kind in "iu" else pa.scalar(np.nan, values.type))
    numbers = values.to_numpy(zero_copy_only=False)
    exact = numbers.astype(plain)
    if plain == np.float16 and not np.array_equal(exact.astype(np.float32), numbers, equal_nan=True):
        raise ValueError(f"its column {column.name!r} has values that {column.dtype} cannot hold")
    return exact_numbers(exact, gaps if masked else None)


def _ticks(values: pa.Array, column: ColumnLayout) -> pa.Array:
    dtype = pandas_dtype(column.dtype)
    unit = dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else np.datetime_data(dtype)[0]
    plain = values.view(pa.int64()).view(pa.timestamp(values.type.unit))
    return plain.cast(pa.timestamp(unit)).view(pa.int64())


def bars_per_write(numbers: Int64Array) -> list[tuple[int, int]]:
    """Return runs of equal numbers: each number, and how often it comes in a row."""
    if not len(numbers):
        return []
    starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    counts = np.diff(np.append(starts, len(numbers)))
    return list(zip(numbers[starts].tolist(), counts.tolist(), strict=True))
