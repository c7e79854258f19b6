"""Which bucket (larger bar) a row belongs to: the arithmetic of pandas' `resample`, without an index of all buckets.

`resample` anchors its bins at midnight of the first row's day. Where the size of a bar does not divide a day, or the
clocks change, bins depend on that day: rows that begin on another day then have another anchor, the *phase*.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

import pandas as pd
from pandas.tseries.frequencies import to_offset

from lumibot_duckdb.storage import times
from lumibot_duckdb.storage.times import Int64Array
from lumibot_duckdb.windows.bar_rows import BarRows
from lumibot_duckdb.windows.trading_index import NANOSECONDS

_FIRST_DAY = date(1970, 1, 1).toordinal()
FREQUENCY_CODES = {"minute": "min", "hour": "h", "day": "D"}


class BucketNumbering:
    """Numbers the buckets of `quantity` units along time, empty ones included. Neighbours differ by one."""

    def __init__(self, quantity: int, unit: str, phase: int) -> None:
        self.quantity = quantity
        self.offset: Any = to_offset(f"{quantity}{FREQUENCY_CODES[unit]}")
        """The frequency that pandas gives to labels without a gap."""
        self._days = unit == "day"
        self._length = quantity * NANOSECONDS[unit]
        self._phase = phase

    def of_row(self, rows: BarRows, row: int) -> int:
        """Return the number of a row's bucket."""
        if self._days:
            return (rows.day(row).number - self._phase) // self.quantity
        return (rows.time(row) - self._phase) // self._length

    def of_rows(self, rows: BarRows, start: int, nanoseconds: Int64Array) -> Int64Array:
        """Return the number of each row's bucket, for the rows from `start` on that have these times."""
        if self._days:
            return (rows.day_numbers(start, start + len(nanoseconds)) - self._phase) // self.quantity
        return (nanoseconds - self._phase) // self._length

    def label(self, number: int) -> int:
        """Return the time at which a bucket begins, in nanoseconds."""
        if self._days:
            return midnight(number * self.quantity + self._phase)
        return number * self._length + self._phase

    def last_before(self, until: int, last: int) -> int:
        """Return the number of the last bucket up to `last` that is labelled before `until` (ns)."""
        if not self._days:
            return min(last, (until - 1 - self._phase) // self._length)
        while self.label(last) >= until:
            last -= 1
        return last

    def labels(self, numbers: Int64Array, like: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Return the labels of buckets, with the time zone, unit and name of an index."""
        if self._days:
            days = pd.DatetimeIndex((numbers * self.quantity + self._phase) * NANOSECONDS["day"])
            index = days.tz_localize(like.tz, ambiguous=True, nonexistent="shift_forward")
        else:
            index = pd.DatetimeIndex(numbers * self._length + self._phase, tz="UTC").tz_convert(like.tz)
        labels: pd.DatetimeIndex = index.as_unit(like.unit).rename(like.name)
        return labels


def phase_of(rows: BarRows, row: int, quantity: int, unit: str) -> int:
    """Return the anchor of the buckets that `resample` makes of the rows from `row` on."""
    day = rows.day(row)
    return day.number % quantity if unit == "day" else day.midnight % (quantity * NANOSECONDS[unit])


@lru_cache(maxsize=65_536)
def midnight(day: int) -> int:
    """Return when a calendar day begins in New York, in nanoseconds UTC. `day` is its number since 1970."""
    return times.midnight(date.fromordinal(_FIRST_DAY + day), times.NEW_YORK) * times.NANOSECONDS_PER_SECOND
