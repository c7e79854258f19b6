"""Which ranges the bars of an answer prove."""

from __future__ import annotations

from collections.abc import Iterable

from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.timeframes import bar_seconds, is_of_days
from lumibot_duckdb.storage.times import Int64Array

_CLOCK_CHANGE = 3_600
"""A day may be an hour shorter."""


def proven_ranges(
    starts: Int64Array, answered: Iterable[TimeRange], timeframe: str, settled: EpochSeconds
) -> list[TimeRange]:
    """Return the ranges that bars prove: of each answered range, from the first settled bar to the end of the last.

    Before and after these, the source may be late, or may have left bars out.

    Parameters:
        starts: of the bars (s, increasing).
        answered: ranges in which these are all bars.
        timeframe: the length of the bars.
        settled: bars that start from then on do not count.
    """
    shortest = bar_seconds(timeframe) - (_CLOCK_CHANGE if is_of_days(timeframe) else 0)
    found = []
    for piece in merged(answered):
        first, stop = starts.searchsorted((piece.start, min(piece.end, settled)))
        if first < stop:
            found.append(TimeRange(int(starts[first]), int(starts[stop - 1]) + shortest))
    return merged(found)
