"""Which bars are settled: closed for so long that their source does not correct them any more.

The margin is the one of Lumibot's own cache of live bars, so that both keep the same bars.
"""

from __future__ import annotations

import os
from math import isfinite

from lumibot_duckdb import clock
from lumibot_duckdb.storage.api import EpochSeconds
from lumibot_duckdb.storage.bars.coverage import end_of_closed_bars

_VARIABLE = "LUMIBOT_SHARED_BARS_SETTLE_MINUTES"
_USUAL_MINUTES = 15.0


def settle_seconds() -> float:
    """Return how long after its end a bar is settled, in seconds. As in Lumibot, a value that is no number is ignored.

    >>> os.environ["LUMIBOT_SHARED_BARS_SETTLE_MINUTES"] = "20"
    >>> settle_seconds()
    1200.0
    >>> del os.environ["LUMIBOT_SHARED_BARS_SETTLE_MINUTES"]
    """
    try:
        minutes = float(os.environ.get(_VARIABLE) or _USUAL_MINUTES)
    except ValueError:
        minutes = _USUAL_MINUTES
    return 60 * max(0.0, minutes if isfinite(minutes) else _USUAL_MINUTES)


def end_of_settled_bars(timeframe: str) -> EpochSeconds:
    """Return a time such that every bar that starts before it is settled now."""
    return end_of_closed_bars(timeframe, int(clock.epoch_now() - settle_seconds()))
