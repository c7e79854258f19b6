"""Which bars have closed, and which are settled.

A bar that has not closed is never stored: its price and volume still change. For some minutes after its end, its source
may still correct it; after that, it is settled. The margin is that of Lumibot's own cache of live bars, so that both
keep the same bars.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING

from lumibot_duckdb import clock
from lumibot_duckdb.live.bar_starts import BarStarts
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.coverage import CLOCK_CHANGE, end_of_closed_bars
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.timeframes import bar_seconds, is_of_days
from lumibot_duckdb.storage.times import bar_starts, epoch_seconds

if TYPE_CHECKING:
    from lumibot_duckdb.storage.times import Int64Array

NO_MARGIN = timedelta(0)
_SETTLE_VARIABLE = "LUMIBOT_SHARED_BARS_SETTLE_MINUTES"
_USUAL_MINUTES = 15.0


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


def end_of_closed(starts: Int64Array, timeframe: str, now: datetime, margin: timedelta = NO_MARGIN) -> EpochSeconds:
    """Return a time as `closed_before` does, for bars that are known, wherever they start."""
    return end_of_closed_bars(timeframe, epoch_seconds(now - margin), starts)


def end_of_closed_in_order(starts: BarStarts, timeframe: str, now: EpochSeconds) -> EpochSeconds:
    """Return what `end_of_closed` does for increasing starts, and reads only the last few of them."""
    longest = bar_seconds(timeframe) + (CLOCK_CHANGE if is_of_days(timeframe) else 0)
    return end_of_closed_bars(timeframe, now, starts.seconds_from(starts.place(now - longest + 1)))


def only_closed(live_bars: LiveBars, now: datetime) -> LiveBars:
    """Return the bars that had closed at `now`, with what they cover. Raises `InvalidBarsError` for unusable times."""
    starts = _starts(live_bars)
    end = end_of_closed(starts, live_bars.key.timeframe, now)
    covered = tuple(TimeRange(piece.start, min(piece.end, end)) for piece in live_bars.covered if piece.start < end)
    if covered == live_bars.covered and (starts < end).all():
        return live_bars
    return replace(live_bars, bars=live_bars.bars[starts < end], covered=covered)


def settle_margin() -> timedelta:
    """Return how long after its end a bar is settled. As in Lumibot, a value that is no number is ignored.

    >>> os.environ["LUMIBOT_SHARED_BARS_SETTLE_MINUTES"] = "20"
    >>> settle_margin()
    datetime.timedelta(seconds=1200)
    >>> del os.environ["LUMIBOT_SHARED_BARS_SETTLE_MINUTES"]
    """
    try:
        minutes = float(os.environ.get(_SETTLE_VARIABLE) or _USUAL_MINUTES)
    except ValueError:
        minutes = _USUAL_MINUTES
    return timedelta(minutes=max(0.0, minutes if isfinite(minutes) else _USUAL_MINUTES))


def settled_before(timeframe: str) -> EpochSeconds:
    """Return a time such that every bar that starts before it is settled now."""
    return closed_before(timeframe, clock.utc_now(), settle_margin())


def _starts(live_bars: LiveBars) -> Int64Array:
    try:
        return bar_starts(live_bars.bars)
    except (TypeError, ValueError) as error:
        raise InvalidBarsError(
            f"{live_bars.key.label()}: the bars are not indexed by times ({error}); index them by their tz-aware starts"
        ) from None
