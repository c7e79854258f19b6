"""The sliding window over one series, and the memory budget that all windows share.

A window holds consecutive rows of a series. Asking for rows outside of it loads them anew, together with a stretch
ahead that doubles as long as the requests walk forward, so that a backtest reads its data once, in few growing gulps.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

DEFAULT_MAX_MEMORY = 256 * 1024 * 1024
"""Bytes that the windows of one backtest may hold together, unless told otherwise."""

FIRST_STRETCH = 1_024
"""Rows read ahead at the first load; doubles from there."""

LARGEST_STRETCH = 65_536
"""Rows read ahead at most: some seventy sessions of minutes, beyond which a larger gulp saves nothing."""


class Rows(Protocol):
    """Loaded rows, whatever they are made of."""

    @property
    def nbytes(self) -> int:
        """Bytes that they hold in memory."""


class Holder(Protocol):
    """What holds rows at the expense of a budget."""

    last_used: int
    """The budget's clock when they were last asked for."""

    @property
    def nbytes(self) -> int:
        """Bytes held now."""

    def drop(self) -> None:
        """Let go of the rows."""


RowsT = TypeVar("RowsT", bound=Rows)


@dataclass(slots=True)
class WindowStatistics:
    """What the windows of one budget did so far. `lookups` that did not load were answered from memory."""

    lookups: int = 0
    loads: int = 0
    rows_loaded: int = 0
    evictions: int = 0


class MemoryBudget:
    """Bytes shared by many windows; those that were not used for longest are dropped when they outgrow it."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_MEMORY) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_memory must be a positive number of bytes, not {max_bytes!r}")
        self.max_bytes = max_bytes
        self.statistics = WindowStatistics()
        self.clock = 0
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        self._at_most = 0  # bytes held when they were last counted, and those loaded since
        self._lock = threading.Lock()

    def register(self, holder: Holder) -> None:
        """Count the bytes that a window (or the like) holds from now on, as long as it lives."""
        with self._lock:
            self._holders.add(holder)

    def share(self) -> int:
        """Return the bytes that one window may take for reading ahead: a quarter of an even share."""
        return self.max_bytes // (4 * max(1, len(self._holders)))

    def held(self) -> int:
        """Return the bytes that all windows hold now."""
        return sum(holder.nbytes for holder in list(self._holders))

    def settle(self, latest: Holder, rows: int) -> None:
        """Account for a load of `latest` (no rows: it is no window); once the budget is spent, drop others, longest
        unused first.

        An eighth of the budget is freed then, so that not every load has to count all that is held.
        """
        with self._lock:
            self.clock += 1
            self.statistics.loads += rows > 0
            self.statistics.rows_loaded += rows
            self._at_most += latest.nbytes
            if self._at_most <= self.max_bytes:
                return
            held = self._at_most = self.held()
            if held <= self.max_bytes:
                return
            enough = self.max_bytes - self.max_bytes // 8
            for holder in sorted(self._holders, key=lambda holder: holder.last_used):
                if holder is latest or holder.nbytes == 0:
                    continue
                held -= holder.nbytes
                self._at_most = held
                holder.drop()
                self.statistics.evictions += 1
                if held <= enough:
                    return


class SlidingWindow(Generic[RowsT]):
    """The rows `[start, stop)` of a series of `size` rows, moved by what is asked of it.

    `load(start, stop)` reads rows; `row_bytes` estimates one row's memory; `weight` says how many stored bars go into a
    row, so that reading ahead costs the same whatever the rows are. Safe to use from several threads: what `cover`
    returns stays valid for the caller whatever other threads ask.
    """

    def __init__(
        self,
        size: int,
        load: Callable[[int, int], RowsT],
        budget: MemoryBudget,
        row_bytes: int,
        weight: int = 1,
    ) -> None:
        self.size = size
        self.last_used = 0
        self._load = load
        self._budget = budget
        self._statistics = budget.statistics
        self._row_bytes = max(1, row_bytes)
        self._first_stretch = max(2, FIRST_STRETCH // weight)
        self._largest_stretch = max(2, LARGEST_STRETCH // weight)
        self._stretch = self._first_stretch
        self._reach = 0
        self._current: tuple[int, int, RowsT] | None = None
        self._lock = threading.Lock()
        budget.register(self)

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        current = self._current
        return 0 if current is None else current[2].nbytes

    def drop(self) -> None:
        """Let go of the rows; they are read again when they are asked for."""
        self._current = None

    def cover(self, start: int, stop: int) -> tuple[int, RowsT]:
        """Return `(first, rows)` where `rows` are consecutive from row `first` on and cover `[start, stop)`."""
        self.last_used = self._budget.clock
        self._statistics.lookups += 1
        current = self._current
        if current is not None and current[0] <= start and stop <= current[1]:
            return current[0], current[2]
        with self._lock:
            return self._move(start, stop)

    def _move(self, start: int, stop: int) -> tuple[int, RowsT]:
        current = self._current
        if current is not None and current[0] <= start and stop <= current[1]:
            return current[0], current[2]
        first, last = self._plan(current, start, stop)
        self._current = None
        rows = self._load(first, last)
        if rows.nbytes <= self._budget.max_bytes:
            self._current = (first, last, rows)
        self._budget.settle(self, last - first)
        return first, rows

    def _plan(self, current: tuple[int, int, RowsT] | None, start: int, stop: int) -> tuple[int, int]:
        """Decide what to load: what is asked, what recent requests looked back on, and a stretch ahead."""
        affordable = max(FIRST_STRETCH // 8, self._budget.share() // self._row_bytes)
        walks_on = current is not None and current[0] <= start <= current[1]
        if walks_on and current is not None:
            self._stretch = min(self._stretch * 2, self._largest_stretch)
        else:
            self._stretch = self._first_stretch
            self._reach = 0
        if current is not None and start < current[0] and stop > current[0] - LARGEST_STRETCH // 16:
            # Two places of the same series are in use, e.g. the price now and a look-back: keep both in one window.
            self._reach = max(self._reach, min(current[1], stop + self._stretch) - start)
        stretch = min(self._stretch, affordable)
        reach = min(self._reach, affordable)
        last = min(self.size, stop + stretch)
        first = max(0, min(start, stop - reach))
        return first, max(last, stop)
