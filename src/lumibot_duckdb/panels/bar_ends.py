"""When bars end, which is when their values are known."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from lumibot_duckdb.storage.timeframes import bar_seconds, count_and_unit, is_of_days
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array

_CALENDAR_UNITS = {"day": "days", "week": "weeks", "month": "months"}


def bar_ends(starts: Int64Array, timeframe: str, zone: str) -> Int64Array:
    """Return the moments at which bars end, in epoch seconds.

    Bars of days and longer end a number of calendar days later at the same time of day: in UTC if they begin at its
    midnight, as those of crypto exchanges do, else in `zone`. The last bar of a day may end earlier in truth.

    Args:
        starts: The starts of the bars, in epoch seconds.
        timeframe: The canonical timeframe.
        zone: The time zone whose days count.
    """
    if not is_of_days(timeframe):
        return starts + bar_seconds(timeframe)
    count, unit = count_and_unit(timeframe)
    in_utc = starts % SECONDS_PER_DAY == 0
    ends = _calendar_ends(starts, count, unit, "UTC")
    if not in_utc.all():
        ends = np.where(in_utc, ends, _calendar_ends(starts, count, unit, zone))
    return ends


def _calendar_ends(starts: Int64Array, count: int, unit: str, zone: str) -> Int64Array:
    import pandas as pd

    local = pd.DatetimeIndex(starts, dtype=pd.DatetimeTZDtype("s", zone)).tz_localize(None)  # integers are UTC
    length: dict[str, Any] = {_CALENDAR_UNITS[unit]: count}
    later = cast("pd.DatetimeIndex", local + pd.DateOffset(**length))
    # Of the two moments that a time names when the clocks go back, the later one.
    winter = np.zeros(len(later), bool)
    ends = later.tz_localize(zone, ambiguous=winter, nonexistent="shift_forward")
    return cast("Int64Array", ends.as_unit("s").asi8)
