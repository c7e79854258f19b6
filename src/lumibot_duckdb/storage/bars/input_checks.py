"""Checks incoming frames and turns them into the Arrow columns that are stored."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lumibot_duckdb.storage.bars.layout import (
    INDEX_NAME,
    PRICES_AND_VOLUME,
    ColumnLayout,
    Kind,
    Layout,
    bits_name,
    kind_of,
    pandas_dtype,
    physical_name,
    placed_like,
)
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.identity import refuse_unstorable
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND

# What Python's datetime can hold in any time zone.
_EARLIEST = int(np.datetime64("0001-01-03", "s").astype(np.int64))
_LATEST = int(np.datetime64("9999-12-29", "s").astype(np.int64))
_LARGEST_EXACT = 2**53
_HINT = "convert it (df[column] = df[column].astype(...)) or drop it"


@dataclass(frozen=True, slots=True)
class InputColumn:
    """An incoming column: its layout in the store, and its values in that layout."""

    layout: ColumnLayout
    values: pa.Array | None
    bits: pa.Array | None


@dataclass(frozen=True, slots=True)
class InputBars:
    """Bars that passed the checks. `times` are in epoch seconds, increasing."""

    times: np.ndarray[Any, np.dtype[np.int64]]
    index_unit: str
    columns: tuple[InputColumn, ...]

    @property
    def layout(self) -> Layout:
        """The layout of the columns in the store."""
        return Layout(self.index_unit, tuple(column.layout for column in self.columns))

    def __len__(self) -> int:
        return len(self.times)

    def rows(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> InputBars:
        """Return the bars that a mask selects."""
        if mask.all():
            return self
        pick = pa.array(mask)

        def picked(values: pa.Array | None) -> pa.Array | None:
            return None if values is None else values.filter(pick)

        columns = tuple(InputColumn(c.layout, picked(c.values), picked(c.bits)) for c in self.columns)
        return InputBars(self.times[mask], self.index_unit, columns)

    def physical(self) -> dict[str, pa.Array]:
        """Return the values by the names of the columns of `bar`."""
        found: dict[str, pa.Array] = {}
        for column in self.columns:
            if column.layout.physical is not None:
                found[column.layout.physical] = column.values
            if column.layout.bits is not None and column.bits is not None:
                found[column.layout.bits] = column.bits
        return found

    def laid_out_like(self, stored: Layout) -> InputBars:
        """Return the same bars in the physical columns of stored columns with the same name and kind."""
        placed = placed_like(self.layout, stored)
        columns = [replace(column, layout=layout) for column, layout in zip(self.columns, placed.columns, strict=True)]
        return replace(self, columns=tuple(columns))


def check_bars(label: str, frame: Any) -> InputBars:
    """Return the bars of a frame, checked; raise `InvalidBarsError`, which names `label` and the first bad row."""
    if not isinstance(frame, pd.DataFrame):
        raise InvalidBarsError(
            f"{label}: bars must be a pandas or polars frame or an Arrow table, not {_type_name(frame)}. Make a "
            "pandas.DataFrame whose index has tz-aware bar starts"
        )
    names = _column_names(label, frame)
    if len(frame) == 0:
        unit: str = frame.index.unit if isinstance(frame.index, pd.DatetimeIndex) else "ns"
        times: np.ndarray[Any, np.dtype[np.int64]] = np.empty(0, np.int64)
    else:
        times, unit = _bar_starts(label, frame.index)
        if not {"open", "high", "low", "close"} & set(names):
            raise InvalidBarsError(f"{label}: none of the columns {names} is open, high, low or close")
        if len(times) > 1 and not (times[1:] > times[:-1]).all():
            order = np.argsort(times, kind="stable")
            times, frame = times[order], frame.iloc[order]
            _refuse_duplicates(label, times)
    columns: list[InputColumn] = []
    taken: set[str] = set()
    for position, name in enumerate(names):
        column = _column(label, name, frame.iloc[:, position], times, taken)
        columns.append(column)
        if column.layout.physical is not None:
            taken.add(column.layout.physical)
    return InputBars(times, unit, tuple(columns))


def _type_name(value: object) -> str:
    """Return the name of a type as its users import it: "polars.DataFrame"."""
    if value is None:
        return "None"
    found = type(value)
    package = found.__module__.partition(".")[0]
    public = getattr(sys.modules.get(package), found.__qualname__, None) is found
    module = package if public else found.__module__
    return found.__qualname__ if module == "builtins" else f"{module}.{found.__qualname__}"


def _column_names(label: str, frame: pd.DataFrame) -> list[str]:
    names: list[str] = []
    for name in frame.columns:
        if not isinstance(name, str) or not name:
            raise InvalidBarsError(f"{label}: the column name {name!r} is not a string; rename the columns")
        try:
            refuse_unstorable(name)
        except ValueError as error:
            raise InvalidBarsError(f"{label}: the column name {error}") from None
        names.append(name.lower() if name.lower() in PRICES_AND_VOLUME else name)
    for name in names:
        if names.count(name) > 1:
            raise InvalidBarsError(f"{label}: the column {name!r} occurs twice; drop or rename one")
        if name == INDEX_NAME:
            raise InvalidBarsError(f"{label}: the column name {name!r} is reserved for the index; drop or rename it")
    return names


def _bar_starts(label: str, index: pd.Index[Any]) -> tuple[np.ndarray[Any, np.dtype[np.int64]], str]:
    """Return the epoch seconds of a time index, and its resolution."""
    if not isinstance(index, pd.DatetimeIndex):
        raise InvalidBarsError(
            f"{label}: the index holds {index.dtype}, not times; index the bars by their start "
            "(df.index = pd.to_datetime(..., utc=True)); first row: " + repr(index[0])
        )
    if index.tz is None:
        raise InvalidBarsError(
            f"{label}: the times have no time zone; first row: {index[0]}. Set the right one, for example with "
            'df.index = df.index.tz_localize("America/New_York")'
        )
    if index.hasnans:
        row = int(np.argmax(index.isna()))
        raise InvalidBarsError(f"{label}: row {row} has no time (NaT)")
    per_second = TICKS_PER_SECOND[index.unit]
    ticks = index.asi8
    times = ticks // per_second
    fractions = times * per_second != ticks
    if fractions.any():
        row = int(np.argmax(fractions))
        raise InvalidBarsError(f"{label}: row {row} ({index[row]}) is not on a whole second; round the times")
    outside = (times < _EARLIEST) | (times > _LATEST)
    if outside.any():
        row = int(np.argmax(outside))
        raise InvalidBarsError(
            f"{label}: row {row} ({np.datetime64(int(times[row]), 's')}) is outside of the years 1 to 9999"
        )
    return times, index.unit


def checked_times(ticks: np.ndarray[Any, np.dtype[np.int64]], unit: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the epoch seconds of bar starts in a resolution; raise ValueError if a series cannot have them."""
    per_second = TICKS_PER_SECOND[unit]
    times: np.ndarray[Any, np.dtype[np.int64]] = ticks // per_second
    if (times * per_second != ticks).any():
        raise ValueError("a bar does not start on a whole second")
    if ((times < _EARLIEST) | (times > _LATEST)).any():
        raise ValueError("a bar is outside of the years 1 to 9999")
    if not (times[1:] > times[:-1]).all():
        raise ValueError("its bars are not in the order of their times")
    return times


def _refuse_duplicates(label: str, times: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    twice = times[1:] == times[:-1]
    if twice.any():
        time = np.datetime64(int(times[int(np.argmax(twice))]), "s")
        raise InvalidBarsError(f"{label}: the bar of {time} UTC occurs twice; keep one (df[~df.index.duplicated()])")


def _column(
    label: str, name: str, series: pd.Series[Any], times: np.ndarray[Any, np.dtype[np.int64]], taken: set[str]
) -> InputColumn:
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return _object_column(label, name, series, times, taken)
    text = _dtype_text(dtype)
    if text is None or pandas_dtype(text) != dtype:
        raise InvalidBarsError(
            f"{label}: column {name!r} holds {dtype}, which cannot be stored exactly; first row: "
            f"{series.iloc[0] if len(series) else 'none'!r}. {_HINT}"
        )
    kind = kind_of(text)
    if kind is Kind.NUMBER:
        values, bits = _numbers(series)
    elif kind is Kind.TIME:
        ticks = series.astype("int64").to_numpy()
        values, bits = pa.array(ticks, mask=series.isna().to_numpy()), None
    elif kind is Kind.TRUTH:
        values, bits = _masked(series, pa.bool_()), None
    else:
        values, bits = _texts(label, name, series.array, times, from_pandas=None), None
    return InputColumn(
        ColumnLayout(
            name=name,
            dtype=text,
            physical=physical_name(name, kind, taken),
            bits=bits_name(name) if bits is not None else None,
            has_nulls=values.null_count > 0,
        ),
        values,
        bits,
    )


def _dtype_text(dtype: Any) -> str | None:
    """Return the name of a dtype in the layout; None if it cannot be stored."""
    if isinstance(dtype, np.dtype):
        storable = dtype.kind in "biuM" or (dtype.kind == "f" and dtype.itemsize <= 8)
        return dtype.name if storable and dtype.isnative else None
    if isinstance(dtype, pd.StringDtype):
        return f"{'string' if dtype.na_value is pd.NA else 'str'}[{dtype.storage}]"
    if isinstance(dtype, pd.DatetimeTZDtype) or dtype.name in _MASKED:
        return str(dtype)
    return None


def is_storable_dtype(name: str) -> bool:
    """Return whether a name is that of a dtype in the layout of a series, written as it is there."""
    if name == "object":
        return True
    try:
        dtype = pandas_dtype(name)
    except (TypeError, ValueError, KeyError):  # KeyError: an unknown time zone
        return False
    unit = np.datetime_data(dtype)[0] if isinstance(dtype, np.dtype) and dtype.kind == "M" else "s"
    return _dtype_text(dtype) == name and unit in TICKS_PER_SECOND


_MASKED = {"boolean", "Float32", "Float64"} | {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}


def _numbers(series: pd.Series[Any]) -> tuple[pa.Array, pa.Array | None]:
    """Return numbers as DOUBLE, and the 64 bits of those that a DOUBLE cannot hold exactly, if there are any."""
    stored: Any = series.array
    masked = not isinstance(series.dtype, np.dtype)
    dtype: np.dtype[Any] = stored.dtype.numpy_dtype
    exact = stored.to_numpy(dtype=dtype, na_value=dtype.type(0)) if masked else series.to_numpy()
    return exact_numbers(exact, stored.isna() if masked else None)


def exact_numbers(
    exact: np.ndarray[Any, Any], gaps: np.ndarray[Any, np.dtype[np.bool_]] | None
) -> tuple[pa.Array, pa.Array | None]:
    """Return numbers as DOUBLE, and the 64 bits of those that a DOUBLE cannot hold exactly, if there are any.

    `gaps` are the rows without a value; None if a NaN is one.
    """
    dtype = exact.dtype
    if dtype.kind == "f":
        doubles = exact.astype(np.float64, copy=False)
        inexact = (doubles == 0) & np.signbit(doubles)
        bits = doubles.view(np.int64) if inexact.any() else None
        if bits is not None:
            doubles = doubles + 0.0  # -0.0 becomes 0.0
    else:
        doubles = exact.astype(np.float64)
        # The negative limit as well as the positive: abs() of the smallest integer is negative.
        inexact = (exact > _LARGEST_EXACT) | (exact < -_LARGEST_EXACT) if dtype.itemsize == 8 else np.zeros(0, bool)
        wide = np.uint64 if dtype.kind == "u" else np.int64
        bits = exact.astype(wide).view(np.int64) if inexact.any() else None
    values = pa.array(doubles, from_pandas=True) if gaps is None else pa.array(doubles, mask=gaps)
    if bits is None:
        return values, None
    return values, pa.array(bits, mask=~inexact if gaps is None else ~inexact | gaps)


def _masked(series: pd.Series[Any], arrow_type: pa.DataType) -> pa.Array:
    if isinstance(series.dtype, np.dtype):
        return pa.array(series.to_numpy(), arrow_type)
    gaps = series.isna().to_numpy()
    return pa.array(series.to_numpy(dtype=bool, na_value=False), arrow_type, mask=gaps)


def _object_column(
    label: str, name: str, series: pd.Series[Any], times: np.ndarray[Any, np.dtype[np.int64]], taken: set[str]
) -> InputColumn:
    """Check a column of Python objects: strings, and one kind of missing value."""
    objects = series.to_numpy()
    missing = ""
    for row, value in enumerate(objects):
        if isinstance(value, str):
            continue
        mark = _mark_of_missing(value)
        if mark is None:
            raise InvalidBarsError(
                f"{label}: column {name!r} holds Python objects; row {row} ({_time(times, row)}) has "
                f"{type(value).__name__} {value!r}. {_HINT}"
            )
        if missing not in ("", mark):
            raise InvalidBarsError(
                f"{label}: column {name!r} has both {missing} and {mark} for missing values; row {row} "
                f"({_time(times, row)}). Use one: df[{name!r}] = df[{name!r}].where(df[{name!r}].notna(), None)"
            )
        missing = mark
    gaps = np.fromiter((not isinstance(value, str) for value in objects), bool, len(objects))
    if gaps.all():
        layout = ColumnLayout(name, "object", None, missing=missing or "None", has_nulls=bool(len(objects)))
        return InputColumn(layout, None, None)
    layout = ColumnLayout(
        name, "object", physical_name(name, Kind.TEXT, taken), missing=missing, has_nulls=bool(gaps.any())
    )
    return InputColumn(layout, _texts(label, name, objects, times, from_pandas=True), None)


def _texts(
    label: str, name: str, values: Any, times: np.ndarray[Any, np.dtype[np.int64]], *, from_pandas: bool | None
) -> pa.Array:
    try:
        return pa.array(values, pa.string(), from_pandas=from_pandas)
    except UnicodeEncodeError:
        for row, value in enumerate(values):
            if isinstance(value, str) and value != value.encode(errors="replace").decode():
                raise InvalidBarsError(
                    f"{label}: column {name!r} has {value!r}, which is not valid text, in row {row} "
                    f"({_time(times, row)}). Decode or replace it"
                ) from None
        raise


def _mark_of_missing(value: object) -> str | None:
    if value is None:
        return "None"
    if value is pd.NA:
        return "NA"
    return "nan" if isinstance(value, float) and np.isnan(value) else None


def _time(times: np.ndarray[Any, np.dtype[np.int64]], row: int) -> str:
    return f"{np.datetime64(int(times[row]), 's')} UTC"
