"""Bars as arrays, for computations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.storage.api import BarArrays
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array

FloatArray: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"


@dataclass(frozen=True)
class Bars:
    """Bars in time order: their starts in epoch seconds, and columns of numbers, missing ones as NaN.

    `zone` is the time zone whose days count.
    """

    times: Int64Array
    columns: Mapping[str, FloatArray]
    zone: str = "America/New_York"

    def __len__(self) -> int:
        return len(self.times)

    @property
    def open(self) -> FloatArray:
        """The opening prices."""
        return self.columns["open"]

    @property
    def high(self) -> FloatArray:
        """The highest prices."""
        return self.columns["high"]

    @property
    def low(self) -> FloatArray:
        """The lowest prices."""
        return self.columns["low"]

    @property
    def close(self) -> FloatArray:
        """The closing prices."""
        return self.columns["close"]

    @property
    def volume(self) -> FloatArray:
        """The volumes, 0 where they are missing."""
        return np.where(self.has_volume, self.columns["volume"], 0.0)

    @property
    def has_volume(self) -> Mask:
        """Which bars have a volume."""
        known: Mask = np.isfinite(self.columns["volume"])
        return known

    @cached_property
    def typical(self) -> FloatArray:
        """The mean of high, low and close."""
        return (self.high + self.low + self.close) / 3

    @cached_property
    def day_starts(self) -> Int64Array:
        """The places of the first bar of each local day."""
        if not len(self):
            return np.empty(0, np.int64)
        days = local_days(self.times, self.zone)
        return np.flatnonzero(np.diff(days, prepend=days[0] - 1))

    @cached_property
    def day_numbers(self) -> Int64Array:
        """The number of the day of each bar, from 0."""
        lengths = np.diff(self.day_starts, append=len(self))
        return np.repeat(np.arange(len(lengths)), lengths)

    def chosen(self, which: Mask | slice) -> Bars:
        """Return the bars that a mask or a slice selects."""
        return Bars(self.times[which], {name: column[which] for name, column in self.columns.items()}, self.zone)


def bars_with_close(arrays: BarArrays, wanted: Sequence[str], zone: str, label: str) -> Bars:
    """Return the wanted columns of stored bars that have a finite close.

    A missing open, high or low is the close; a missing volume is NaN. Raises `IndicatorError` for columns of text.
    """
    columns = {name: _numbers(column, name, label) for name, column in arrays.columns.items()}
    exists = np.isfinite(columns["close"])
    times = arrays.times
    if not bool(exists.all()):
        times, columns = times[exists], {name: column[exists] for name, column in columns.items()}
    close = columns["close"]
    for name in wanted:
        missing = close if name in ("open", "high", "low") else np.full(len(close), np.nan)
        column = columns.get(name, missing)
        known = np.isfinite(column)
        columns[name] = column if bool(known.all()) else np.where(known, column, missing)
    return Bars(times, columns, zone)


def local_days(times: Int64Array, zone: str) -> Int64Array:
    """Return the calendar days of times in a time zone, counted from 1970."""
    import pandas as pd

    index = pd.DatetimeIndex(times, dtype=pd.DatetimeTZDtype("s", zone)).tz_localize(None)  # integers are UTC
    days: Int64Array = index.asi8 // SECONDS_PER_DAY
    return days


def dates_of_daily_bars(times: Int64Array, zone: str) -> Int64Array:
    """Return the dates of bars of days, counted from 1970.

    A bar that begins at midnight in UTC, as those of crypto exchanges do, is of that day, wherever it begins in `zone`.
    """
    return np.where(times % SECONDS_PER_DAY == 0, times // SECONDS_PER_DAY, local_days(times, zone))


def _numbers(column: np.ndarray[Any, Any], name: str, label: str) -> FloatArray:
    if column.dtype == np.float64:
        return column
    if column.dtype.kind in "fiub":
        return column.astype(np.float64)
    import pandas as pd

    try:
        # Nullable numbers are objects.
        numbers: FloatArray = pd.array(column, dtype="Float64").to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise IndicatorError(f"{label}: the column {name!r} has no numbers") from None
    return numbers
