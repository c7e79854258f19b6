"""When markets are open, and which of that time is not covered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from lumibot_duckdb.sources.shared.trading_hours import hours_of
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import common, missing
from lumibot_duckdb.storage.times import date_of

_DAY = timedelta(days=1)


def trading_time(key: SeriesKey, within: TimeRange) -> list[TimeRange]:
    """Return the parts of a range in which the market of a series is open, sorted."""
    sessions = hours_of(key.asset).sessions(date_of(within.start) - _DAY, date_of(within.end) + _DAY)
    return common([TimeRange(opens, closes) for opens, closes in sessions], [within])


def trading_gaps(key: SeriesKey, within: TimeRange, covered: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the trading time of a range that is not covered, sorted."""
    covered = list(covered)
    return [gap for part in trading_time(key, within) for gap in missing(part, covered)]


def seconds_in(ranges: Iterable[TimeRange]) -> int:
    """Return the length of ranges that do not overlap."""
    return sum(piece.end - piece.start for piece in ranges)
