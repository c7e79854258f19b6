"""Which ranges the bars of an answer prove."""

from __future__ import annotations

from collections.abc import Iterable

from lumibot_duckdb.live.bar_starts import BarStarts
from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.coverage import CLOCK_CHANGE, merged
from lumibot_duckdb.storage.timeframes import bar_seconds, is_of_days


def shortest_bar(timeframe: str) -> int:
    """Return the length of the shortest bar of a timeframe (s): a day may be an hour shorter."""
    return bar_seconds(timeframe) - (CLOCK_CHANGE if is_of_days(timeframe) else 0)


def proven_ranges(
    starts: BarStarts, answered: Iterable[TimeRange], timeframe: str, settled: EpochSeconds
) -> list[TimeRange]:
    """Return the ranges that bars prove: of each answered range, from the first settled bar to the end of the last.

    Before and after these, the source may be late, or may have left bars out.

    Parameters:
        starts: of the bars.
        answered: ranges in which these are all bars.
        timeframe: the length of the bars.
        settled: bars that start from then on do not count.
    """
    shortest = shortest_bar(timeframe)
    found = []
    for piece in merged(answered):
        first, stop = starts.place(piece.start), starts.place(min(piece.end, settled))
        if first < stop:
            found.append(TimeRange(starts[first], starts[stop - 1] + shortest))
    return merged(found)
