"""Converts local times of a time zone to UTC, also where the clocks change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

import numpy as np
import pandas as pd

from lumibot_duckdb.importing.arrays import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """Local times as UTC seconds.

    `later` is 0 but where the clocks went back and the local time came twice: `utc` is the first of the two, the
    other one is `later` seconds after it. Where the clocks went forward over a time it does not `exist`.
    """

    utc: IntArray
    later: IntArray
    exists: BoolArray


def zone_name(text: str) -> str | None:
    """Return the time zone database's spelling of a name such as "america/new_york"; None if it has no such zone."""
    return _zones().get(text.lower())


def localise(seconds: IntArray, zone: str) -> LocalTimes:
    """Return the UTC times of clock readings (seconds since 1970 as the clock shows) in `zone`."""
    readings = pd.DatetimeIndex(seconds.astype("M8[s]"))
    summer = np.ones(len(readings), bool)
    first, second = (
        readings.tz_localize(zone, ambiguous=ambiguous, nonexistent="NaT") for ambiguous in (summer, ~summer)
    )
    exists = np.asarray(first.notna())
    utc = np.asarray(first.asi8)
    return LocalTimes(utc, np.where(exists, np.asarray(second.asi8) - utc, 0), exists)


def first_instants(days: IntArray, zone: str) -> IntArray:
    """Return when the local days that start at the given clock readings begin, in UTC."""
    readings = pd.DatetimeIndex(days.astype("M8[s]"))
    first = readings.tz_localize(zone, ambiguous=np.ones(len(readings), bool), nonexistent="shift_forward")
    return np.asarray(first.asi8)


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}
