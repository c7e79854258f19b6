"""Which bars have closed. A bar that has not is never stored: its price and volume still change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.coverage import end_of_closed_bars
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import bar_starts, epoch_seconds

if TYPE_CHECKING:
    from lumibot_duckdb.storage.times import Int64Array

NO_MARGIN = timedelta(0)


def closed_before(timeframe: str, now: datetime, margin: timedelta = NO_MARGIN) -> EpochSeconds:
    """Return a time such that every bar that starts before it closed at least `margin` before `now`.

    Parameters:
        timeframe: a canonical timeframe.
        now: the moment (tz-aware), by the provider's clock where that is known.
        margin: for how long after its end the source may still correct a bar.

    >>> from datetime import timezone
    >>> now = datetime(2024, 1, 2, 14, 31, 10, tzinfo=timezone.utc)
    >>> closed_before("minute", now) - epoch_seconds(now)  # 14:31:00 is open, 14:30:00 has closed
    -10
    >>> closed_before("minute", now, timedelta(seconds=15)) - epoch_seconds(now)
    -70
    """
    return end_of_closed_bars(timeframe, epoch_seconds(now - margin))


def only_closed(live_bars: LiveBars, now: datetime) -> LiveBars:
    """Return the bars that had closed at `now`, with what they cover. Raises `InvalidBarsError` for unusable times."""
    starts = _starts(live_bars)
    # Bars need not start where those of their length usually do: an hour may begin at a quarter past.
    unfinished = starts[starts + bar_seconds(live_bars.key.timeframe) > epoch_seconds(now)]
    end = min([closed_before(live_bars.key.timeframe, now), *unfinished.tolist()])
    covered = tuple(TimeRange(piece.start, min(piece.end, end)) for piece in live_bars.covered if piece.start < end)
    if covered == live_bars.covered and (starts < end).all():
        return live_bars
    return replace(live_bars, bars=live_bars.bars[starts < end], covered=covered)


def _starts(live_bars: LiveBars) -> Int64Array:
    try:
        return bar_starts(live_bars.bars)
    except (TypeError, ValueError) as error:
        raise InvalidBarsError(
            f"{live_bars.key.label()}: the bars are not indexed by times ({error}); index them by their tz-aware starts"
        ) from None
