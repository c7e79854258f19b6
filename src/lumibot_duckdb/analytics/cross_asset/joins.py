"""Joins closes of different calendars into one table: a row for each time, and a column for each asset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.storage.times import Int64Array

JOINS = ("inner", "asof", "outer")
Column: TypeAlias = "tuple[Int64Array, FloatArray]"
"""Increasing times, and a number for each."""


def joined(columns: Sequence[Column], join: str) -> tuple[Int64Array, FloatArray]:
    """Return the times of the rows, and the rows.

    - "inner": the times that all columns have;
    - "asof": the times of the first column, with the last value of the others at or before each;
    - "outer": all times, with NaN where a column has no value.
    """
    first = columns[0][0]
    if all(np.array_equal(first, times) for times, _ in columns[1:]):
        return first, np.column_stack([values for _, values in columns])
    if join == "asof":
        return first, np.column_stack([_last_known(first, *column) for column in columns])
    rows, counts = np.unique(np.concatenate([times for times, _ in columns]), return_counts=True)
    if join == "inner":
        rows = rows[counts == len(columns)]
    return rows, np.column_stack([placed(rows, *column) for column in columns])


def _last_known(rows: Int64Array, times: Int64Array, values: FloatArray) -> FloatArray:
    if not len(times):
        return np.full(len(rows), np.nan)
    last = times.searchsorted(rows, "right") - 1
    return np.where(last >= 0, values[last], np.nan)


def placed(rows: Int64Array, times: Int64Array, values: FloatArray) -> FloatArray:
    """Return the values at the times of rows; NaN where there is none."""
    column = np.full(len(rows), np.nan)
    if len(rows):
        place = np.minimum(rows.searchsorted(times), len(rows) - 1)
        is_row = rows[place] == times
        column[place[is_row]] = values[is_row]
    return column
