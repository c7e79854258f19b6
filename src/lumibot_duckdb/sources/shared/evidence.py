"""What responses prove, and what they leave open.

A response proves the time from its first to its last bar, gaps included. Before and after, it proves only that nothing
was traded while the market was closed. Trading time there is provisional, because the provider may be late, or may have
sent just a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lumibot_duckdb.sources.shared.trading_hours import TradingHours
from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.coverage import common, merged, missing
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import Int64Array


def unproven(answered: TimeRange, bars: TimeRange | None, hours: TradingHours, timeframe: str) -> list[TimeRange]:
    """Return the trading time in a range that bars at the given times do not prove.

    Parameters:
        answered: the range that the response is for.
        bars: from the start of the first bar to the end of the last one; None if there are none.
        hours: when the market is open.
        timeframe: the length of the bars.
    """
    margins = [answered] if bars is None else missing(answered, [bars])
    return [part for each in margins if (part := hours.trading_part(each, timeframe)) is not None]


def extent(starts: Int64Array, timeframe: str) -> TimeRange | None:
    """Return the range from the start of the first bar to the end of the last one; None if there are no bars."""
    return TimeRange(int(starts.min()), int(starts.max()) + bar_seconds(timeframe)) if len(starts) else None


@dataclass(frozen=True)
class Proof:
    """What one more response of a download changes: what it leaves open, and what it proves of earlier responses."""

    provisional: Sequence[TimeRange]
    proven_before: Sequence[TimeRange]


@dataclass(frozen=True)
class _Answer:
    """Adjoining responses of a download, which count as one: the provider was asked for all of it at once."""

    within: TimeRange
    bars: TimeRange | None
    provisional: Sequence[TimeRange] = ()


class Evidence:
    """What the responses of one download prove, as they arrive.

    Parameters:
        hours: when the market is open.
        timeframe: the length of the bars.
    """

    def __init__(self, hours: TradingHours, timeframe: str) -> None:
        self._hours = hours
        self._timeframe = timeframe
        self._answers: list[_Answer] = []

    def add(self, within: TimeRange, starts: Int64Array, *, kept_since: EpochSeconds | None = None) -> Proof:
        """Take in a response.

        Parameters:
            within: the range that it is for.
            starts: the starts of its bars; those outside of the range are ignored.
            kept_since: the provider keeps no bars from before, so that no later response can have any.
        """
        inside = starts[(starts >= within.start) & (starts < within.end)]
        touching = [
            each for each in self._answers if each.within.start <= within.end and within.start <= each.within.end
        ]
        answers = [*touching, _Answer(within, extent(inside, self._timeframe))]
        joined = _Answer(_span([each.within for each in answers]), _span_or_none([each.bars for each in answers]))
        provisional = unproven(joined.within, joined.bars, self._hours, self._timeframe)
        if kept_since is not None:
            provisional = common(provisional, [TimeRange(kept_since, max(kept_since, joined.within.end))])
        self._answers = [each for each in self._answers if each not in touching]
        self._answers.append(replace(joined, provisional=provisional))
        before = merged(piece for each in touching for piece in each.provisional)
        proven_before = [part for piece in before for part in missing(piece, provisional)]
        return Proof(common(provisional, [within]), proven_before)


def _span(ranges: Sequence[TimeRange]) -> TimeRange:
    return TimeRange(min(each.start for each in ranges), max(each.end for each in ranges))


def _span_or_none(ranges: Sequence[TimeRange | None]) -> TimeRange | None:
    present = [each for each in ranges if each is not None]
    return _span(present) if present else None
