"""The queue between the strategy and a thread that works for it: bounded, and never waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from lumibot_duckdb import clock
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recording.losses import Losses, span
from lumibot_duckdb.storage.api import SeriesKey, TimeRange

_LOOK_SECONDS = 0.1
_LEAST_WEIGHT = 32
"""As many bars as take the memory of an empty frame with its description."""


class BarsOfSeries(Protocol):
    """Bars that can wait in a queue."""

    @property
    def key(self) -> SeriesKey:
        """The series."""

    @property
    def bars(self) -> int:
        """How many bars there are."""

    @property
    def within(self) -> TimeRange | None:
        """From the first to the last time that they cover."""


Item = TypeVar("Item", bound=BarsOfSeries)


@dataclass(frozen=True, slots=True)
class QueuedBars:
    """Bars in the queue: how many, in which range of time, and when they came by the clock of this machine (UTC)."""

    live_bars: LiveBars
    bars: int
    within: TimeRange | None
    queued_at: datetime

    @classmethod
    def now(cls, live_bars: LiveBars) -> QueuedBars:
        """Describe bars that have just come. Raises TypeError or AttributeError for anything else."""
        if not isinstance(live_bars.key, SeriesKey):
            raise TypeError(f"{live_bars.key!r} is not a SeriesKey")
        return cls(live_bars, len(live_bars.bars), span(live_bars.covered), clock.utc_now())

    @property
    def key(self) -> SeriesKey:
        """The series."""
        return self.live_bars.key


class BarQueue(Generic[Item]):
    """Bars that wait for a thread, with those that it is working on: `capacity` bars at most; an item counts as 32.

    `lock` guards it, and is held for microseconds only. It may be entered again by the same thread, since a handler of
    a signal may close the recorder while its thread is in here.
    """

    def __init__(self, capacity: int) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.recorded = self.waiting = self.dropped = 0  # bars
        self.closed = False
        self._capacity = capacity
        self._items: list[Item] = []
        self._weight = 0
        self._put = self._done = 0  # items so far
        self._hurry_to = 0  # the item up to which someone waits
        self._newly_dropped = Losses()

    def put(self, item: Item) -> bool:
        """Add bars, or drop them and return False without room. A single item has room if nothing else waits."""
        bars, weight = item.bars, _weight(item)
        with self.lock:
            self.recorded += bars
            if self.closed or (self._weight and self._weight + weight > self._capacity):
                self.dropped += bars
                self._newly_dropped.add(item.key, bars, item.within)
                return False
            self._items.append(item)
            self._put += 1
            self.waiting += bars
            self._weight += weight
            if len(self._items) == 1 or self._is_half_full():
                self.lock.notify_all()
            return True

    def take(self, pause_seconds: float, patience: float | None = None) -> list[Item] | None:
        """Wait for bars, and then for more of them for a while; return all. None: closed, and nothing is left.

        If no bars come for `patience` seconds, there are none to return.
        """
        with self.lock:
            while not self._items:
                if self.closed:
                    return None
                if not self.lock.wait(patience):
                    return []
            deadline = time.monotonic() + pause_seconds
            while not self._is_urgent() and (left := deadline - time.monotonic()) > 0:
                self.lock.wait(left)
            taken, self._items = self._items, []
            return taken

    def done(self, batch: Sequence[Item]) -> None:
        """Note that bars that were taken are not waiting any more."""
        with self.lock:
            self._done += len(batch)
            self.waiting -= sum(item.bars for item in batch)
            self._weight -= sum(map(_weight, batch))
            self.lock.notify_all()

    def take_dropped(self) -> Losses:
        """Return what was dropped since the last call."""
        with self.lock:
            taken, self._newly_dropped = self._newly_dropped, Losses()
            return taken

    def wait_until_done(self, timeout: float | None, look: Callable[[], None]) -> bool:
        """Wait until what is in the queue now is done; return whether it is. `look` is called now and then."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.lock:
            target = self._hurry_to = self._put
            self.lock.notify_all()
        while True:
            look()
            with self.lock:
                if self._done >= target:
                    return True
                left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
                if left <= 0:
                    return False
                self.lock.wait(left)

    def close(self) -> None:
        """Drop all further bars."""
        with self.lock:
            self.closed = True
            self.lock.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits or is being written."""
        with self.lock:
            return self._done >= self._put

    def _is_urgent(self) -> bool:
        return self.closed or self._hurry_to > self._done or self._is_half_full()

    def _is_half_full(self) -> bool:
        return self._weight * 2 >= self._capacity


def _weight(item: BarsOfSeries) -> int:
    """Return how much room an item takes in the queue, in bars."""
    return max(_LEAST_WEIGHT, item.bars)
