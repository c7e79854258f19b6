"""How late the bars of a stream arrive, by this machine's clock."""

from __future__ import annotations

import logging
from collections import deque

from lumibot_duckdb import clock
from lumibot_duckdb.storage.api import EpochSeconds

logger = logging.getLogger(__name__)

_BARS = 20
_USUAL = 60
_WORTH_A_WARNING = 180


class ArrivalLag:
    """The time between the end of a bar and its arrival: the shortest of the last bars.

    It is long if the feed is a delayed one, or if the clock of this machine is ahead. Either way, bars are settled that
    much later than this machine believes.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lags: deque[int] = deque(maxlen=_BARS)
        self._warned = False

    def add(self, end: EpochSeconds) -> None:
        """Note that a bar has arrived which ended at `end`."""
        self._lags.append(clock.epoch_now() - end)
        shortest = min(self._lags)
        if shortest > _WORTH_A_WARNING and len(self._lags) == _BARS and not self._warned:
            self._warned = True
            logger.warning(
                "bars of %s arrive %d s after their end: unless the feed is a delayed one, the clock of this machine "
                "is ahead. Settled bars are read that much later",
                self._name,
                shortest,
            )

    @property
    def seconds(self) -> int:
        """The lag beyond what is usual."""
        return max(0, min(self._lags, default=0) - _USUAL)
