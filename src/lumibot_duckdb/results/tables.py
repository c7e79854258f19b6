"""Rows of results as pandas, polars or Arrow tables, with a column for each parameter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

Format: TypeAlias = Literal["pandas", "polars", "arrow"]
FORMATS = ("pandas", "polars", "arrow")
PARAMETER = "param_"
"""What the names of parameters begin with in a table, as in scikit-learn's `cv_results_`."""


def in_format(table: pa.Table, format: Format) -> Any:
    """Return a table in one of `FORMATS`. Raises ValueError for another."""
    if format == "arrow":
        return table
    if format == "polars":
        import polars as pl

        return pl.from_arrow(table)
    if format == "pandas":
        return table.to_pandas()
    raise ValueError(f"the format {format!r} is not one of {', '.join(FORMATS)}")


def with_parameters(table: pa.Table) -> pa.Table:
    """Return a table with a typed column for each parameter in place of the JSON column `parameters`."""
    place = table.column_names.index("parameters")
    rows = [json.loads(text) for text in table["parameters"].to_pylist()]
    table = table.remove_column(place)
    for number, name in enumerate(dict.fromkeys(name for row in rows for name in row)):
        table = table.add_column(place + number, PARAMETER + name, typed([row.get(name) for row in rows]))
    return table


def typed(values: Iterable[Any]) -> pa.Array:
    """Return values of JSON as an array: of booleans, integers, numbers or texts; others and mixed ones as JSON."""
    values = list(values)
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
        try:
            return pa.array(values, pa.string() if not kinds else None)
        except (OverflowError, pa.ArrowInvalid):  # integers with more than 64 bits
            pass
    return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())


def matrix(table: pa.Table) -> pd.DataFrame:
    """Return daily returns as a frame: a row for each day, a column for each trial, NaN where a trial has no value."""
    frame = table.to_pandas(date_as_object=False)
    made: pd.DataFrame = frame.pivot(index="day", columns="number", values="value")
    made.columns = made.columns.astype(int)
    return made
