"""Turns polars frames and Arrow tables into the pandas frames whose bars are checked and stored.

Each Arrow type becomes the pandas dtype that holds all of its values, so that the table comes back as it was. Nothing
is converted by pandas, which would turn integers with gaps into floating-point numbers.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.bars.layout import pandas_dtype
from lumibot_duckdb.storage.errors import InvalidBarsError

TIME_COLUMNS = ("datetime", "timestamp", "time", "date", "ts", "__index_level_0__")
"""The names, in any case, of a column that may hold the bar starts. The last one is that of an index without a name,
when pandas makes an Arrow table.
"""

_NO_TIME = np.iinfo(np.int64).min
_ZONE_REMEDY = (
    'Set the right one, for example with pl.col({name!r}).dt.replace_time_zone("America/New_York") in polars or '
    "pyarrow.compute.assume_timezone"
)


def as_frame(label: str, data: object) -> object:
    """Return the bars of a polars frame or Arrow table as a pandas frame that is indexed by their start.

    Anything else is returned unchanged. Raises `InvalidBarsError`, which names `label` and the column.
    """
    if isinstance(data, pd.DataFrame):
        return data
    table = _table(label, data)
    if table is None:
        return data
    place = _place_of_times(label, table)
    index = pd.DatetimeIndex(_values(label, table, place))
    others = [column for column in range(table.num_columns) if column != place]
    # By number at first: the check of the names reports those that occur twice.
    frame: pd.DataFrame = pd.DataFrame({i: _values(label, table, i) for i in others}, index=index)
    frame.columns = pd.Index([table.column_names[i] for i in others], dtype=object)
    return frame


def _table(label: str, data: object) -> pa.Table | None:
    """Return what offers its columns to Arrow as a table; None for other objects."""
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(data, polars.LazyFrame):
        data = data.collect()
    if isinstance(data, pd.Series) or not hasattr(data, "__arrow_c_stream__"):
        return None
    try:
        table = data if isinstance(data, pa.Table) else pa.table(data)
        table.validate(full=True)
    except pa.ArrowException as error:
        kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"
        raise InvalidBarsError(f"{label}: {kind} is not a table of bars: {error}") from error
    return table


def _place_of_times(label: str, table: pa.Table) -> int:
    """Return which column holds the bar starts: the only one with one of the names and with tz-aware times."""
    named = [i for i, name in enumerate(table.column_names) if name.lower() in TIME_COLUMNS]
    found = [i for i in named if _is_time(table, i) and table.schema.field(i).type.tz is not None]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        names = " and ".join(repr(table.column_names[i]) for i in found)
        raise InvalidBarsError(
            f"{label}: the columns {names} could all be the bar starts; rename all but the right one"
        )
    if not named:
        raise InvalidBarsError(
            f"{label}: none of the columns {table.column_names} is named {', '.join(TIME_COLUMNS[:-2])} or "
            f"{TIME_COLUMNS[-2]}; rename the one with the bar starts"
        )
    naive = [i for i in named if _is_time(table, i)]
    place = (naive or named)[0]
    name, first = table.column_names[place], table.column(place)[0].as_py() if table.num_rows else "none"
    if naive:
        raise InvalidBarsError(
            f"{label}: the times of column {name!r} have no time zone; first row: {first}. "
            + _ZONE_REMEDY.format(name=name)
        )
    raise InvalidBarsError(
        f"{label}: column {name!r} holds {table.schema.field(place).type}, not times; make it a timestamp with a time "
        f"zone, or name another column datetime; first row: {first!r}"
    )


def _is_time(table: pa.Table, place: int) -> bool:
    return bool(pa.types.is_timestamp(table.schema.field(place).type))


def _values(label: str, table: pa.Table, place: int) -> Any:
    """Return a column as an array of the pandas dtype that holds exactly its values."""
    values = single_array(table.column(place))
    is_a = pa.types
    if is_a.is_null(values.type):
        return np.full(len(values), None, dtype=object)
    if is_a.is_boolean(values.type):
        return _with_gaps(values, values.fill_null(False))
    if is_a.is_integer(values.type):
        return _with_gaps(values, values.fill_null(0))
    if is_a.is_floating(values.type):
        return values.to_numpy(zero_copy_only=False)  # as in pandas, NaN is a missing value
    if is_a.is_string(values.type) or is_a.is_large_string(values.type) or is_a.is_string_view(values.type):
        return pd.arrays.ArrowStringArray(pa.chunked_array([values.cast(pa.string())]))
    if is_a.is_timestamp(values.type):
        return _times(label, table.column_names[place], values)
    raise _unstorable(label, table.column_names[place], values)


def _with_gaps(values: pa.Array, filled: pa.Array) -> Any:
    """Return an ordinary NumPy array, or a nullable one if values are missing."""
    plain = filled.to_numpy(zero_copy_only=False)
    if not values.null_count:
        return plain
    plain = plain.copy()
    name = plain.dtype.name.replace("uint", "UInt").replace("int", "Int")
    array_type = pandas_dtype("boolean" if plain.dtype == bool else name).construct_array_type()
    return array_type(plain, values.is_null().to_numpy(zero_copy_only=False))


def _times(label: str, name: str, values: pa.Array) -> Any:
    ticks = values.cast(pa.int64()).fill_null(_NO_TIME).to_numpy(zero_copy_only=False)
    times = pd.DatetimeIndex(ticks.view(f"M8[{values.type.unit}]"))
    if values.type.tz is None:
        return times
    try:
        return times.tz_localize("UTC").tz_convert(values.type.tz)
    except Exception as error:
        raise InvalidBarsError(
            f"{label}: the time zone {values.type.tz!r} of column {name!r} is unknown; convert its times to another one"
        ) from error


def _unstorable(label: str, name: str, values: pa.Array) -> InvalidBarsError:
    first = repr(values[0].as_py()) if len(values) else "none"
    return InvalidBarsError(
        f"{label}: column {name!r} holds {values.type}, which cannot be stored exactly; first row: "
        f"{first:.80}. Cast it to numbers, booleans, text or timestamps, or drop it"
    )
