"""Conversions between the ways in which this package counts time.

Throughout the package a moment is a whole number of seconds since 1970-01-01T00:00Z ("epoch seconds", negative
before), a bar is stamped at its start, and a range is half-open. A day is a calendar day of some time zone; as a
number it counts days since 1970-01-01.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

from lumibot_duckdb import clock
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

EpochSeconds: TypeAlias = int
Int64Array: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

UTC = timezone.utc
NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS_PER_SECOND = 1_000_000_000
SECONDS_PER_DAY = 86_400

_EARLIEST = datetime(1, 1, 3)
_LATEST = datetime(9999, 12, 29)


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return clock.utc_now()


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


def calendar_day(day: date) -> date:
    """Return the calendar day of a date or datetime, on the datetime's own clock."""
    return day.date() if isinstance(day, datetime) else day


def parse_moment(text: str) -> datetime:
    """Return the tz-aware moment that an ISO 8601 text states; ValueError if it states none or no time zone.

    >>> parse_moment("2024-01-02T09:30:00-05:00").isoformat()
    '2024-01-02T09:30:00-05:00'
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def naive_utc(moment: datetime) -> datetime:
    """Return a tz-aware moment as the store's TIMESTAMP columns hold it: in UTC, without a time zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def aware_utc(stored: datetime) -> datetime:
    """Return a value of one of the store's TIMESTAMP columns as a tz-aware moment in UTC."""
    return stored.replace(tzinfo=UTC)


def new_york_timestamp(time: datetime | date | str) -> pd.Timestamp:
    """Return what a caller means by a time, as Lumibot reads it: a naive time is New York's.

    Of the two moments that a naive time names when the clocks go back, the later one (standard time) is meant; a naive
    time that the clocks skip means an hour later.

    >>> new_york_timestamp("2024-11-03 01:30").isoformat()
    '2024-11-03T01:30:00-05:00'
    """
    import pandas as pd

    stamp: pd.Timestamp = pd.Timestamp(time)
    if pd.isna(stamp):
        raise ValueError(f"{time!r} is not a time")
    if stamp.tzinfo is None:
        # datetime.min and datetime.max do not exist in every time zone.
        stamp = min(max(stamp, pd.Timestamp(_EARLIEST)), pd.Timestamp(_LATEST))
        stamp = stamp.tz_localize("America/New_York", ambiguous=False, nonexistent=timedelta(hours=1))
    return stamp


def epoch_seconds_ceiling(stamp: pd.Timestamp) -> EpochSeconds:
    """Return the epoch seconds of a tz-aware timestamp, rounded up to a whole second."""
    return -(-int(stamp.asm8.view("i8")) // TICKS_PER_SECOND[stamp.unit])


def index_seconds(index: pd.DatetimeIndex) -> Int64Array:
    """Return the epoch seconds of a time index, rounded down to whole seconds; a naive index is taken as UTC."""
    seconds: Int64Array = index.as_unit("s").asi8
    return seconds


def bar_starts(frame: pd.DataFrame) -> Int64Array:
    """Return the bar starts of a frame that is indexed by them, in epoch seconds.

    An empty frame may have any index.
    """
    import numpy as np
    import pandas as pd

    return index_seconds(pd.DatetimeIndex(frame.index)) if len(frame) else np.empty(0, np.int64)
