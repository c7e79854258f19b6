"""The first and last bar of each New York calendar day."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.bars.output import NEW_YORK, time_index
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array


def session_bounds(times: Int64Array) -> Int64Array:
    """Return first and last bar start of each New York calendar day (n x 2); `times` are sorted epoch seconds."""
    if not len(times):
        return np.empty((0, 2), np.int64)
    starts = _first_of_days(times)
    ends = np.concatenate((starts[1:], [len(times)])) - 1
    bounds = np.stack([times[starts], times[ends]], axis=1)
    bounds.setflags(write=False)
    return bounds


def _first_of_days(times: Int64Array) -> Int64Array:
    """Return the places at which another New York calendar day begins, the first place included."""
    if times[-1] - times[0] > SECONDS_PER_DAY * len(times):  # more days than bars
        days = time_index(times, "s").tz_localize(None).asi8 // SECONDS_PER_DAY
        return np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1])))
    first, last = time_index(times[[0, -1]], "s").tz_localize(None).asi8 // SECONDS_PER_DAY
    dates: pd.DatetimeIndex = pd.DatetimeIndex((np.arange(first, last + 1) * SECONDS_PER_DAY).view("M8[s]"))
    midnights = dates.tz_localize(NEW_YORK, ambiguous=True, nonexistent=timedelta(hours=1))
    starts: Int64Array = np.unique(times.searchsorted(midnights.asi8))
    return starts
