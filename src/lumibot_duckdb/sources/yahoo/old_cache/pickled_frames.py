"""Builds what the pickles of Lumibot's Yahoo cache describe: a table of prices, or Yahoo's info on a symbol.

Everything is checked first: the lengths of arrays match their shapes, columns are numbers, and time zones are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from lumibot_duckdb.lumibot_contract import pickled_names
from lumibot_duckdb.sources.shared.old_cache.errors import UnreadableFileError
from lumibot_duckdb.sources.yahoo.old_cache.restricted_pickle import LARGEST, Described, Named, described

_NUMBERS = {"f8", "f4", "i8", "i4", "u8", "u4", "b1"}
_ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_NAMELESS_UTC = ("pytz._UTC", "dateutil.tz.tz.tzutc")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class YahooPickle:
    """The contents of a cache file: a symbol's data, whose `type` is "1d", "15m", "1m" or "info"."""

    symbol: str
    type: str
    data: Any

    def frame(self) -> pd.DataFrame:
        """Return the table, with a tz-aware index. Raises `UnreadableFileError` if there is none."""
        frame: pd.DataFrame = _checked(frame_of, self.data)
        return frame

    def info(self) -> Mapping[str, Any]:
        """Return Yahoo's info on the symbol; empty if the request failed."""
        info = self.data.get("info") if isinstance(self.data, dict) and not self.data.get("error") else None
        return info if isinstance(info, dict) else {}


def yahoo_pickle(content: bytes) -> YahooPickle:
    """Return the contents of a file.

    Raises:
        RefusedFileError: it asks for an object that such files never contain.
        UnreadableFileError: it is damaged, or not a file of Lumibot's Yahoo cache.
    """
    pickled: YahooPickle = _checked(_yahoo_data, described(content))
    return pickled


def frame_of(described_frame: Any) -> pd.DataFrame:
    """Return the table for a description of it."""
    frame = _one_of(described_frame, *pickled_names.FRAME)
    manager = _state_of(frame).get("_mgr")
    blocks, axes = _one_of(manager, pickled_names.BLOCK_MANAGER).arguments[:2]
    _insist(len(axes) == 2, "it is not a table")
    names, index = _names(axes[0]), _index(axes[1])
    columns: dict[int, Array] = {}
    size = 0
    for block in blocks:
        values, places = _one_of(block, pickled_names.UNPICKLE_BLOCK).arguments[:2]
        rows, numbers = _array(values), _places(places, len(names))
        _insist(rows.ndim == 2 and rows.shape == (len(numbers), len(index)), "its columns have different lengths")
        size += rows.nbytes  # counted each time, since a pickle may name the same array for many columns
        _insist(size <= LARGEST, f"its table would take more than {LARGEST:,} bytes")
        columns.update(zip(numbers, rows, strict=True))
    _insist(sorted(columns) == list(range(len(names))) and len(set(names)) == len(names), "it lacks columns")
    table: pd.DataFrame = pd.DataFrame({name: columns[number] for number, name in enumerate(names)}, index=index)
    return table


def _checked(make: Any, what: Any) -> Any:
    """Call `make`, and raise `UnreadableFileError` for any error, because a description can have any shape."""
    try:
        return make(what)
    except UnreadableFileError:
        raise
    except Exception as error:
        raise UnreadableFileError(f"it contains no data of Lumibot's Yahoo cache ({type(error).__name__})") from None


def _yahoo_data(what: Any) -> YahooPickle:
    state = _state_of(_one_of(what, pickled_names.YAHOO_DATA))
    symbol, kind = state["symbol"], state["type"]
    _insist(type(symbol) is str and type(kind) is str, "it names no symbol")
    return YahooPickle(symbol, kind.lower(), state["data"])


def _index(what: Any) -> pd.DatetimeIndex:
    index = _one_of(what, pickled_names.NEW_DATETIME_INDEX, pickled_names.NEW_INDEX)
    of, parts = index.arguments
    _insist(_is_named(of, *pickled_names.DATETIME_INDEX), "its rows have no times")
    data = _one_of(
        parts["data"],
        pickled_names.UNPICKLE_ARRAY,
        *pickled_names.DATETIME_ARRAY,
    )
    dtype, times = _dtype_and_times(data)
    zone = _state_of(_one_of(dtype, *pickled_names.ZONED_DTYPE))
    values = _array(times)
    _insist(values.ndim == 1 and values.dtype.kind == "M", "its rows have no times")
    name = parts.get("name")
    there = _zone(zone.get("tz", zone.get("_tz")))
    times_of_rows: pd.DatetimeIndex = pd.DatetimeIndex(values, name=name if type(name) is str else None)
    placed: pd.DatetimeIndex = times_of_rows.tz_localize("UTC").tz_convert(there)
    return placed


def _dtype_and_times(data: Described) -> tuple[Any, Any]:
    """Return the dtype and the times (UTC) of an array of times. Their order depends on the version of pandas."""
    (state,) = data.states
    first, second = state[:2]
    return (first, second) if isinstance(first, Described) and "DatetimeTZDtype" in first.of else (second, first)


def _zone(what: Any) -> ZoneInfo:
    zone = _one_of(what, "pytz._p", "zoneinfo.ZoneInfo._unpickle", "datetime.timezone", *_NAMELESS_UTC)
    if zone.of in _NAMELESS_UTC:
        return ZoneInfo("UTC")
    if zone.of == "datetime.timezone":
        (offset,) = zone.arguments
        _insist(_one_of(offset, "datetime.timedelta").arguments == (0, 0, 0), "its time zone is not known")
        return ZoneInfo("UTC")
    name = zone.arguments[0]
    _insist(type(name) is str, "its time zone is not known")
    return ZoneInfo(name)


def _names(what: Any) -> list[str]:
    index = _one_of(what, pickled_names.NEW_INDEX)
    of, parts = index.arguments
    _insist(_is_named(of, *pickled_names.INDEX), "its columns have no names")
    array = _one_of(parts["data"], *_ARRAYS, "pandas.arrays.ArrowStringArray")
    if array.of not in _ARRAYS:
        return _texts(_state_of(array)["_pa_array"])
    _, shape, dtype, _, names = _state_of_array(array)
    _insist(_dtype_text(dtype) == "O8" and type(names) is list and shape == (len(names),), "its columns have no names")
    _insist(all(type(name) is str for name in names), "its columns have no names")
    return list(names)


def _texts(what: Any) -> list[str]:
    """Return the texts of a pyarrow array without missing values."""
    ((kind, length, missing, first, (bits, bounds, letters), *_),) = _one_of(
        what, "pyarrow.lib._restore_array"
    ).arguments
    _insist(_one_of(kind, "pyarrow.lib.type_for_alias").arguments == ("large_string",), "its columns have no names")
    _insist((missing, first, bits) == (0, 0, None), "its columns have no names")
    ends = np.frombuffer(_buffer(bounds), dtype="<i8")
    _insist(type(length) is int and len(ends) > length >= 0, "its columns have no names")
    text = _buffer(letters)
    _insist(bool((np.diff(ends) >= 0).all()), "a text is damaged")
    return [bytes(text[ends[n] : ends[n + 1]]).decode() for n in range(length)]


def _buffer(what: Any) -> bytes:
    (content,) = _one_of(what, "pyarrow.lib.py_buffer").arguments
    if type(content) is Described:
        (content,) = _one_of(content, "builtins.bytearray").arguments
    _insist(type(content) in (bytes, bytearray), "a text is damaged")
    return bytes(content)


def _is_named(what: Any, *names: str) -> bool:
    return type(what) is Named and what.name in names


def _places(what: Any, most: int) -> list[int]:
    """Return the numbers of the columns in a block of the table."""
    if isinstance(what, Described) and what.of == "builtins.slice":
        start, stop, step = what.arguments
        _insist(all(type(bound) is int and 0 <= bound <= most for bound in (start, stop)), "it lacks columns")
        _insist(type(step) is int and step != 0, "it lacks columns")
        return list(range(start, stop, step))
    return [int(number) for number in _array(what).tolist()]


def _array(what: Any) -> Array:
    """Return an array of numbers or times."""
    array = _one_of(what, *_ARRAYS, *_BUFFERS)
    if array.of in _BUFFERS:
        raw, dtype, shape, order = array.arguments
        fortran = order == "F"
    else:
        _, shape, dtype, fortran, raw = _state_of_array(array)
    kind = _dtype(dtype)
    _insist(type(raw) in (bytes, bytearray) and all(type(n) is int and n >= 0 for n in shape), "an array is damaged")
    _insist(prod(shape) * kind.itemsize == len(raw), "an array is truncated")
    array_of_it: Array = np.frombuffer(raw, dtype=kind).reshape(shape, order="F" if fortran else "C")
    return array_of_it


def _state_of_array(array: Described) -> tuple[Any, ...]:
    (state,) = array.states
    _insist(type(state) is tuple and len(state) == 5, "an array is damaged")
    return state  # type: ignore[no-any-return]


def _dtype_text(what: Any) -> str:
    text = _one_of(what, "numpy.dtype").arguments[0]
    _insist(type(text) is str, "an array has an unknown type")
    return str(text)


def _dtype(what: Any) -> np.dtype[Any]:
    text = _dtype_text(what)
    (state,) = what.states
    order = state[1]
    _insist(order in ("<", ">", "|", "="), "an array has an unknown type")
    if text == "M8":
        unit, count = state[-1][-1][:2]
        unit = unit.decode() if type(unit) is bytes else unit
        _insist(unit in ("s", "ms", "us", "ns") and count == 1, "an array has an unknown type")
        return _ordered(f"M8[{unit}]", order)
    _insist(text in _NUMBERS, "an array has an unknown type")
    return _ordered(text, order)


def _ordered(text: str, order: str) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(text).newbyteorder(order)  # type: ignore[arg-type]
    return dtype


def _state_of(what: Described) -> dict[str, Any]:
    (state,) = what.states
    if type(state) is tuple and len(state) == 2 and state[0] is None:
        state = state[1]
    _insist(type(state) is dict, "an object in it has no state")
    return state  # type: ignore[no-any-return]


def _one_of(what: Any, *names: str) -> Described:
    _insist(type(what) is Described and what.of in names, f"it lacks a {names[0].rpartition('.')[2]}")
    return what  # type: ignore[no-any-return]


def _insist(condition: bool, otherwise: str) -> None:
    if not condition:
        raise UnreadableFileError(f"it contains no data of Lumibot's Yahoo cache: {otherwise}")
