"""Finds the first difference between two frames, to the last bit."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.comparison.answers import INDEX, Frame
from lumibot_duckdb.comparison.differences.difference import BARS, COLUMNS, DTYPES, HOLDER, MISSING, VALUES

Array: TypeAlias = "np.ndarray[Any, Any]"


def first_difference(left: Frame, right: Frame) -> tuple[str, str, str, str] | None:
    """Return the aspect, the place and both values of the first difference; None if there is none.

    Columns come first, then bar times, values, dtypes, and what holds the frame. NaN equals NaN, but 0.0 and -0.0
    differ.
    """
    if list(left.columns) != list(right.columns):
        return COLUMNS, "columns", ", ".join(left.columns), ", ".join(right.columns)
    stamps = _stamps(left), _stamps(right)
    rows = min(map(len, stamps))
    other = _differing_rows(stamps[0][:rows], stamps[1][:rows])
    if len(other) or len(stamps[0]) != len(stamps[1]):
        row = int(other[0]) if len(other) else rows
        return BARS, "bar", _bar(left, row), _bar(right, row)
    differing = {name: _differing_rows(left.columns[name], right.columns[name]) for name in left.columns}
    if any(len(rows) for rows in differing.values()):
        row, name = min(
            ((int(rows[0]), name) for name, rows in differing.items() if len(rows)), key=lambda first: first[0]
        )
        return VALUES, f"bar {left.bar(row)}, {name}", left.value(name, row), right.value(name, row)
    for name, dtype in left.dtypes.items():
        if dtype != right.dtypes[name]:
            return DTYPES, f"dtype of {name}", dtype, right.dtypes[name]
    return None if left.of == right.of else (HOLDER, "what holds the frame", left.of, right.of)


def _stamps(frame: Frame) -> Array:
    """Return the index; times are compared as such, because their integers depend on the unit."""
    dtype = frame.dtypes[INDEX]
    if not dtype.startswith("datetime64["):
        return frame.stamps
    unit = dtype.removeprefix("datetime64[").partition("]")[0].partition(",")[0]
    return frame.stamps.astype(f"datetime64[{unit}]")


def _bar(frame: Frame, row: int) -> str:
    if row >= len(frame.stamps):
        return MISSING
    return f"{frame.bar(row)} (" + ", ".join(f"{name} {frame.value(name, row)}" for name in frame.columns) + ")"


def _differing_rows(left: Array, right: Array) -> Array:
    """Return the rows in which two columns of the same length differ."""
    kinds = {left.dtype.kind, right.dtype.kind}
    if kinds <= {"M"} or kinds <= {"m"}:
        return np.flatnonzero((left != right) & ~(np.isnat(left) & np.isnat(right)))
    if left.dtype != right.dtype:  # NumPy would round one of them, and Python does not
        left, right = left.astype(object), right.astype(object)
        return np.array([row for row, pair in enumerate(zip(left, right, strict=True)) if not _equal(*pair)], np.int64)
    if kinds <= {"f", "c"}:
        return np.flatnonzero(~_same_numbers(left.real, right.real) | ~_same_numbers(left.imag, right.imag))
    return np.flatnonzero(left != right)


def _same_numbers(left: Array, right: Array) -> Array:
    same: Array = (left == right) & (np.signbit(left) == np.signbit(right))
    return same | (np.isnan(left) & np.isnan(right))


def _equal(left: Any, right: Any) -> bool:
    if left != left and right != right:
        return True
    if isinstance(left, str) != isinstance(right, str):
        return False  # texts stand for objects
    return bool(left == right) and str(left).startswith("-") == str(right).startswith("-")
