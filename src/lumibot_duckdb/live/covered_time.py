"""Which bars start in covered ranges, and which trading time is not covered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.sources.shared.trading_hours import hours_of
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import common, missing
from lumibot_duckdb.storage.times import Int64Array, date_of

if TYPE_CHECKING:
    import numpy as np

_DAY = timedelta(days=1)


def in_ranges(starts: Int64Array, ranges: Iterable[TimeRange]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which times are in one of some ranges."""
    import numpy as np

    inside = np.zeros(len(starts), dtype=bool)
    for piece in ranges:
        inside |= (starts >= piece.start) & (starts < piece.end)
    return inside


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
