"""How a window decides what to load, and the memory budget that all windows of a backtest share.

A window (`SlidingWindow`) holds consecutive rows of one series. A request for rows inside it is answered from memory. A
request for any row outside it moves the window to

- **the rows of the request**, always;
- **rows ahead of them**, because a backtest walks forward: 1,024 at first, and twice as many at each load whose request
  begins in the window or right after it, up to 65,536. After a jump (the request begins before or beyond the window),
  it is 1,024 again. Rows of larger bars, each made of many stored bars, are read in proportionally smaller numbers;
- **rows behind them**, if requests alternate between two places, such as the price now and a bar 900 minutes ago: a
  request that ends less than 4,096 rows before the window makes it reach from there to the present, and loads that
  follow keep that distance until the next jump. So neither place makes the window load again.

Rows that the window holds already are not loaded again, if they can be joined with the new ones.

The rows ahead and the rows behind may each take a quarter of the window's even share of the budget (`MemoryBudget`), or
128 rows if that is more. When all windows together exceed the budget, the least recently used ones are emptied until an
eighth of it is free. An emptied window loads its rows again at its next request. Rows that exceed the whole budget are
returned but not kept.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

DEFAULT_MAX_MEMORY = 256 * 1024 * 1024
"""Bytes that the windows of one backtest may hold together by default."""

FIRST_READ_AHEAD = 1_024
"""Rows read ahead at the first load and after a jump."""

LARGEST_READ_AHEAD = 65_536
"""Rows read ahead at most: some 170 regular sessions of minutes. Larger loads save no further time."""

NEAR = 4_096
"""Rows shortly before a window: a request that ends there makes it keep both places."""


class Rows(Protocol):
    """Loaded rows of any kind."""

    @property
    def nbytes(self) -> int:
        """Their size in memory, in bytes."""


class Holder(Protocol):
    """Anything that holds memory of a budget, such as a window."""

    last_used: int
    """The budget's `clock` at the latest request."""

    @property
    def nbytes(self) -> int:
        """Bytes held now."""

    def drop(self) -> None:
        """Free the memory."""


RowsT = TypeVar("RowsT", bound=Rows)


@dataclass(slots=True)
class WindowStatistics:
    """What the windows of one budget have done.

    `lookups` without a load were answered from memory. `rows_shown` counts each row of a series that requests included
    once, also those that larger bars are made of.
    """

    lookups: int = 0
    loads: int = 0
    rows_loaded: int = 0
    evictions: int = 0
    rows_shown: int = 0


class MemoryBudget:
    """The memory that many windows share. If they hold more, the least recently used ones are emptied.

    Parameters:
        max_bytes: bytes that all windows may hold together.

    Raises:
        ValueError: if `max_bytes` is not positive.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_MEMORY) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_memory must be a positive number of bytes, not {max_bytes!r}")
        self.max_bytes = max_bytes
        self.statistics = WindowStatistics()
        self.clock = 0
        """Number of loads so far. Holders use it as the time of their last use."""
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        self._upper_bound = 0  # bytes held at the last count, plus those loaded since
        self._lock = threading.Lock()

    def register(self, holder: Holder) -> None:
        """Count the memory of a holder for as long as it exists. Only a weak reference is kept."""
        with self._lock:
            self._holders.add(holder)

    def read_ahead_bytes(self) -> int:
        """Return the bytes that one window may read ahead: a quarter of an even share of the budget."""
        return self.max_bytes // (4 * max(1, len(self._holders)))

    def bytes_held(self) -> int:
        """Return the bytes that all holders hold now."""
        return sum(holder.nbytes for holder in list(self._holders))

    def record_load(self, latest: Holder, rows: int) -> None:
        """Count a load of `rows` rows by `latest` (0 rows for a holder that is not a window), and enforce the budget.

        If the budget is exceeded, other holders are emptied, least recently used first, until an eighth of it is free.
        Freeing more than necessary means that few loads have to add up the sizes of all holders.
        """
        with self._lock:
            self.clock += 1
            self.statistics.loads += rows > 0
            self.statistics.rows_loaded += rows
            self._upper_bound += latest.nbytes
            if self._upper_bound <= self.max_bytes:
                return
            total = self._upper_bound = self.bytes_held()
            if total <= self.max_bytes:
                return
            enough = self.max_bytes - self.max_bytes // 8
            for holder in sorted(self._holders, key=lambda holder: holder.last_used):
                if holder is latest or holder.nbytes == 0:
                    continue
                total -= holder.nbytes
                self._upper_bound = total
                holder.drop()
                self.statistics.evictions += 1
                if total <= enough:
                    return


class SlidingWindow(Generic[RowsT]):
    """Consecutive rows of a series in memory; requests move it as the module's docstring describes.

    Threads may share a window: rows that `cover` has returned stay valid when another thread moves it.

    Parameters:
        size: the number of rows of the series.
        load: reads rows `[start, stop)` of the series.
        budget: the memory shared with other windows.
        row_bytes: an estimate of the memory that one row takes.
        weight: the numbers of rows read ahead are divided by it, for example how many stored bars a row is made of.
        join: makes rows `[start, stop)` of pieces that adjoin and include them; None: rows cannot be joined.
    """

    def __init__(
        self,
        size: int,
        load: Callable[[int, int], RowsT],
        budget: MemoryBudget,
        row_bytes: int,
        weight: int = 1,
        join: Callable[[Sequence[RowsT], int, int], RowsT] | None = None,
    ) -> None:
        self.size = size
        self.last_used = 0
        self._load = load
        self._join = join
        self._budget = budget
        self._statistics = budget.statistics
        self._row_bytes = max(1, row_bytes)
        self._first_read_ahead = max(2, FIRST_READ_AHEAD // weight)
        self._largest_read_ahead = max(2, LARGEST_READ_AHEAD // weight)
        self._read_ahead = self._first_read_ahead
        self._look_back = 0
        self._current: tuple[int, int, RowsT] | None = None
        self._lock = threading.Lock()
        budget.register(self)

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        current = self._current
        return 0 if current is None else current[2].nbytes

    def drop(self) -> None:
        """Empty the window. Its rows are loaded again at the next request."""
        self._current = None

    def cover(self, start: int, stop: int) -> tuple[int, RowsT]:
        """Return `(first, rows)`: consecutive rows, beginning with row `first`, that include `[start, stop)`."""
        self.last_used = self._budget.clock
        self._statistics.lookups += 1
        current = self._current
        if current is not None and current[0] <= start and stop <= current[1]:
            return current[0], current[2]
        del current  # so that a load frees the rows that it replaces
        with self._lock:
            return self._move(start, stop)

    def cover_near(self, start: int, stop: int) -> tuple[int, RowsT] | None:
        """Return what `cover` does for rows in the window, and for a few rows shortly before it or after it; else None.

        So a second reader of the series uses the rows that the first one has loaded, and does not take it elsewhere.
        """
        current = self._current
        begin, end = (start, start) if current is None else current[:2]
        held = begin <= start and stop <= end
        del current
        return self.cover(start, stop) if held or (stop - start <= NEAR and start >= begin - NEAR) else None

    @property
    def stop(self) -> int:
        """The row after the last one in memory; 0 if there is none."""
        current = self._current
        return 0 if current is None else current[1]

    def _move(self, start: int, stop: int) -> tuple[int, RowsT]:
        current = self._current  # another thread may just have moved the window
        if current is not None and current[0] <= start and stop <= current[1]:
            return current[0], current[2]
        del current
        held, loaded = self._load_around(start, stop)
        if held[2].nbytes <= self._budget.max_bytes:
            self._current = held
        self._budget.record_load(self, loaded)
        return held[0], held[2]

    def _load_around(self, start: int, stop: int) -> tuple[tuple[int, int, RowsT], int]:
        """Load rows for a request. Return all rows to hold, with their range, and how many were loaded."""
        current = self._current
        first, last = self._rows_to_load(current, start, stop)
        if self._join is None or current is None or last < current[0] or first >= current[1]:
            self._current = current = None
            return (first, last, self._load(first, last)), last - first
        begin, end, rows = current
        last = max(last, end)
        before = [self._load(first, begin)] if first < begin else []
        after = [self._load(end, last)] if last > end else []
        return (first, last, self._join([*before, rows, *after], first, last)), max(0, begin - first) + last - end

    def _rows_to_load(self, current: tuple[int, int, RowsT] | None, start: int, stop: int) -> tuple[int, int]:
        """Return the range of rows to load for a request of `[start, stop)` that the `current` rows do not include."""
        affordable = max(FIRST_READ_AHEAD // 8, self._budget.read_ahead_bytes() // self._row_bytes)
        if current is not None and current[0] <= start <= current[1] + self._first_read_ahead:
            # The next rows, or those after a step over a night, which the first read-ahead would have included.
            self._read_ahead = min(self._read_ahead * 2, self._largest_read_ahead)
        elif current is not None and start < current[0] and stop > current[0] - NEAR:
            # The request is for rows shortly before the window: both places may be in use, so keep both from now on.
            self._look_back = max(self._look_back, min(current[1], stop + self._read_ahead) - start)
        else:
            self._read_ahead = self._first_read_ahead
            self._look_back = 0
        last = min(self.size, stop + min(self._read_ahead, affordable))
        first = max(0, min(start, stop - min(self._look_back, affordable)))
        return first, max(last, stop)
