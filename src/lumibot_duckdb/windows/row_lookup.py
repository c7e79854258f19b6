"""Which rows of a series a strategy sees at a time, by Lumibot's rules."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, TypeAlias

from lumibot_duckdb.storage.times import epoch_nanoseconds
from lumibot_duckdb.windows.bar_rows import BarRows

if TYPE_CHECKING:
    from lumibot_duckdb.lumibot_contract.data_entity_hooks import BarState

Place: TypeAlias = "tuple[dt.datetime, int, bool, int]"
"""A time, the row of the last bar at or before it, whether that bar has closed, and the time in nanoseconds."""


class RowLookup:
    """Finds rows of `rows` by time. Requests at the same time, and steps to the next bar, cost no search."""

    def __init__(self, rows: BarRows, timestep: str) -> None:
        self._rows = rows
        self._size = len(rows)
        self._is_daily = timestep == "day"
        self._latest: Place | None = None

    def locate(self, time: dt.datetime) -> Place:
        """Return the place of `time` among the rows; the row is -1 before the first bar."""
        latest = self._latest
        if latest is not None and latest[0] == time:
            return latest
        rows = self._rows
        # Lumibot takes a time without a zone as local time of the machine.
        nanoseconds = epoch_nanoseconds(time if time.tzinfo is not None else time.astimezone())
        row = latest[1] + 1 if latest is not None else 0
        # Backtests mostly step from one bar to the next.
        if not (0 <= row < self._size - 1 and rows.time(row) <= nanoseconds < rows.time(row + 1)):
            row = rows.row_at(nanoseconds)
        length = rows.bar_length
        closed = row >= 0 and length is not None and rows.time(row) + length <= nanoseconds
        self._latest = place = (time, row, closed, nanoseconds)
        return place

    def bar_state(self, row: int, time: dt.datetime) -> BarState | None:
        """Return whether the intraday bar of `row` has closed at `time`; None unless it is the last one by then."""
        _, latest, closed, _ = self.locate(time)
        if row != latest or row < 0 or self._rows.bar_length is None:
            return None
        return "closed" if closed else "forming"

    def visible_rows(self, time: dt.datetime, length: int, shift: int) -> tuple[int, int]:
        """Return the rows `[start, stop)` of the last `length` bars that a strategy sees at `time`.

        `shift` moves them so many rows into the past. A daily bar is visible on its day, an intraday one once it has
        closed. A length of zero or less gives one bar, as in Lumibot.
        """
        _, row, closed, _ = self.locate(time)
        seen = row + 1 if self._is_daily or (closed and shift >= 0) else row
        stop = max(0, min(seen - shift, self._size))
        start = min(max(0, stop - int(length)), stop)
        if start == stop and stop > 0:
            start = stop - 1
        return start, stop
