"""Conversions between Arrow columns of text and NumPy arrays, shared by the readers of times and numbers."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

IntArray: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
FloatArray: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
BoolArray: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"
CodeArray: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"


def is_text(column: pa.ChunkedArray) -> bool:
    """Return whether a column holds strings."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of any type as trimmed strings, "" for null. Whole floats are written as integers."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type) and pc.all(pc.equal(column, pc.floor(column))).as_py():
        column = column.cast(pa.int64())
    return pc.utf8_trim_whitespace(column.cast(pa.string()).fill_null(""))


def as_bools(column: pa.ChunkedArray) -> BoolArray:
    """Return a column of booleans without nulls."""
    return np.asarray(column.to_numpy(), dtype=bool)


def as_integers(text: pa.ChunkedArray) -> IntArray:
    """Return the integers in a text column, 0 for the empty text."""
    return np.asarray(pc.if_else(pc.equal(text, ""), "0", text).cast(pa.int64()).to_numpy(), dtype=np.int64)
