"""Fills gaps of bars and adds returns, with the arithmetic of Lumibot's `Data.repair_times_and_fill`, on any rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import BarArrays
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.bar_table import BarTable

Columns: TypeAlias = "dict[str, np.ndarray[Any, Any]]"

PRICES = ("open", "high", "low", "close")
EVENTS = ("dividend", "stock_splits")
DIVIDEND_RETURNS = ("price_change", "dividend_yield", "return")
BAR_COLUMNS = frozenset((*PRICES, "volume", *EVENTS, *DIVIDEND_RETURNS))
PLAIN_DTYPES = frozenset(("float64", "float32", "int64", "int32", "bool"))


def derived_columns_of(columns: list[str]) -> tuple[str, ...]:
    """Return the columns that Lumibot derives from bars with these columns."""
    return DIVIDEND_RETURNS if "dividend" in columns else ("return",)


def bar_columns(columns: list[str]) -> list[str]:
    """Return the columns of a filled frame that a request for bars returns, in Lumibot's order."""
    derived = derived_columns_of(columns)
    events = ("dividend",) if "dividend" in columns else ()
    return [name for name in (*PRICES, "volume", *events, *derived, "stock_splits") if name in columns]


def fill_bars(index: pd.DatetimeIndex, nanoseconds: Int64Array, bars: BarArrays, drop: int = 0) -> BarTable:
    """Align bars with an index, fill their gaps and add returns.

    The first `drop` rows are only needed to fill the others and are left out of the result.
    """
    times = bars.times * NANOSECONDS_PER_SECOND
    if len(times) == len(nanoseconds) and np.array_equal(times, nanoseconds):
        columns: Columns = dict(bars.columns)
    else:
        shown = times.searchsorted(nanoseconds, side="right") - 1
        columns = {name: values.take(shown) for name, values in bars.columns.items()}
    columns = {name: _fill_column(name, values) for name, values in columns.items()}
    for name in ("open", "high", "low"):
        columns[name] = _fill_from_close(columns[name], columns["close"])
    if "volume" not in columns:
        columns["volume"] = np.full(len(nanoseconds), None, dtype=object)
    columns.update(_returns(columns))
    return BarTable({name: values[drop:] for name, values in columns.items()}, index[drop:])


def _fill_column(name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if name in ("open", "high", "low") or values.dtype.kind in "iub":
        return values
    missing = pd.isna(values)
    if not missing.any():
        return values
    if name in ("volume", *EVENTS):
        return np.where(missing, 0, values).astype(values.dtype)
    carried = np.maximum.accumulate(np.where(missing, -1, np.arange(len(values))))
    filled = values.take(np.maximum(carried, 0))
    filled[carried < 0] = values[carried < 0]
    return filled


def _fill_from_close(values: np.ndarray[Any, Any], close: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype.kind != "f":
        return values
    missing = np.isnan(values)
    return np.where(missing, close, values) if missing.any() else values


def _returns(columns: Mapping[str, np.ndarray[Any, Any]]) -> Columns:
    """Return the derived columns that Lumibot adds to bars without them."""
    close = columns["close"].astype("float64", copy=False)
    if "dividend" not in columns:
        return {} if "return" in columns else {"return": price_change(close)}
    if all(name in columns for name in DIVIDEND_RETURNS):
        return {}
    change = price_change(close)
    with np.errstate(divide="ignore", invalid="ignore"):
        dividend_yield = columns["dividend"].astype("float64", copy=False) / close
    return {"price_change": change, "dividend_yield": dividend_yield, "return": dividend_yield + change}


def price_change(close: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the relative change from the row before; NaN at the first row."""
    change = np.empty(len(close), dtype="float64")
    change[:1] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(close[1:] - close[:-1], close[:-1], out=change[1:])
    return change
