"""Conversions between the ways in which this package counts time.

Throughout the package a moment is a whole number of seconds since 1970-01-01T00:00Z ("epoch seconds", negative
before), a bar is stamped at its start, and a range is half-open. A day is a calendar day of some time zone; as a
number it counts days since 1970-01-01.
"""

from __future__ import annotations

from datetime import date, datetime, time, timezone, tzinfo
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

EpochSeconds: TypeAlias = int
Int64Array: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

UTC = timezone.utc
NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS_PER_SECOND = 1_000_000_000
SECONDS_PER_DAY = 86_400


def epoch_seconds(moment: datetime) -> EpochSeconds:
    """Return the epoch seconds of a tz-aware moment, rounded down to a whole second.

    >>> epoch_seconds(datetime(2024, 1, 2, 9, 30, tzinfo=NEW_YORK))
    1704205800
    """
    difference = moment - EPOCH
    return difference.days * SECONDS_PER_DAY + difference.seconds


def epoch_nanoseconds(moment: datetime) -> int:
    """Return the nanoseconds since 1970 of a tz-aware moment; exact, also for a `pandas.Timestamp`.

    >>> epoch_nanoseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005000
    """
    value = getattr(moment, "value", None)  # a Timestamp has nanoseconds that a datetime lacks
    if value is not None:
        return int(value)
    difference = moment - EPOCH
    seconds = difference.days * SECONDS_PER_DAY + difference.seconds
    return seconds * NANOSECONDS_PER_SECOND + difference.microseconds * 1000


def moment_of(seconds: EpochSeconds, zone: tzinfo = UTC) -> datetime:
    """Return epoch seconds as a datetime in a time zone.

    >>> moment_of(1704205800).isoformat()
    '2024-01-02T14:30:00+00:00'
    """
    return datetime.fromtimestamp(seconds, zone)


def date_of(seconds: EpochSeconds, zone: tzinfo = UTC) -> date:
    """Return the calendar day of a time zone that a moment falls on.

    >>> date_of(1704153600, NEW_YORK)
    datetime.date(2024, 1, 1)
    """
    return moment_of(seconds, zone).date()


def midnight(day: date, zone: tzinfo = UTC) -> EpochSeconds:
    """Return the epoch seconds at which a calendar day of a time zone begins.

    >>> midnight(date(2024, 1, 2), NEW_YORK)
    1704171600
    """
    return epoch_seconds(datetime.combine(day, time.min, tzinfo=zone))


def bar_starts(frame: pd.DataFrame) -> Int64Array:
    """Return the bar starts of a frame that is indexed by them, in epoch seconds.

    An empty frame may have any index.
    """
    import pandas as pd

    if not len(frame):
        return np.empty(0, np.int64)
    starts: Int64Array = pd.DatetimeIndex(frame.index).as_unit("s").asi8
    return starts
