"""A series in place of the one frame that Lumibot's Yahoo, Alpaca and CCXT sources hold, read through windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.times import Int64Array
from lumibot_duckdb.windows.bar_table import BarTable, Values
from lumibot_duckdb.windows.paged_times import PagedTimes
from lumibot_duckdb.windows.series_view import SeriesView
from lumibot_duckdb.windows.shown_rows import ShownRows
from lumibot_duckdb.windows.window import MemoryBudget, SlidingWindow

_OF_DATA = frozenset(("df", "timestep", "asset", "quote", "datalines"))
"""Attributes that Lumibot looks for to recognise a `Data`; a frame has none of them."""


class RowTimes(Protocol):
    """Numbered rows and their times (nanoseconds, UTC, increasing)."""

    def __len__(self) -> int: ...

    def row_at(self, time: int) -> int:
        """Return the last row at or before a time; -1 before the first."""

    def row_from(self, time: int) -> int:
        """Return the first row at or after a time; `len(self)` past the last."""

    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the index of Lumibot's frames."""


class FramedSeries:
    """Takes the place of a frame and returns ranges of its rows.

    Attributes and `[]` of a `DataFrame` work, too, but read the whole frame.

    Parameters:
        rows: the rows and their times.
        load: makes rows `[start, stop)` of the frame.
        budget: the memory shared with other windows.
        columns: the columns of the frame.
        weight: the larger, the fewer rows are read ahead.
    """

    def __init__(
        self,
        rows: RowTimes,
        load: Callable[[int, int], BarTable],
        budget: MemoryBudget,
        *,
        columns: Sequence[str],
        weight: int = 1,
    ) -> None:
        self.rows = rows
        self._load = load
        self._columns = list(columns)
        self._window = SlidingWindow(
            len(rows), self._loading(load), budget, row_bytes=8 * len(self._columns), weight=weight
        )
        self._shown = ShownRows(budget.statistics)
        self._size = len(rows)

    @staticmethod
    def _loading(load: Callable[[int, int], BarTable]) -> Callable[[int, int], BarTable]:
        """Return the function that loads a window. It must not refer to the series, so that both can be freed."""
        return load

    def __len__(self) -> int:
        return self._size

    def frame(self, start: int, stop: int) -> pd.DataFrame:
        """Return the rows of `[start, stop)` that exist, as a frame that belongs to the caller."""
        start, stop, _ = slice(start, stop).indices(self._size)
        self._shown.add(start, stop)
        first, table = self._window.cover(start, max(start, stop))
        return table.frame(start - first, max(start, stop) - first)

    def value(self, column: str, row: int) -> Any:
        """Return one value, a NumPy scalar. Raises `IndexError` or `KeyError` for an unknown row or column."""
        if not 0 <= row < self._size:
            raise IndexError(f"row {row} is outside of the {self._size} rows of the series")
        self._shown.add(row, row + 1)
        first, table = self._window.cover(row, row + 1)
        return table.columns[column][row - first]

    def whole(self) -> pd.DataFrame:
        """Return all rows."""
        self._shown.add(0, self._size)
        return self._load(0, self._size).frame(0, self._size)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_DATA or name.startswith("__") or "_window" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.whole(), name)

    def __getitem__(self, wanted: Any) -> Any:
        return self.whole()[wanted]

    def __contains__(self, column: object) -> bool:
        return column in self._columns


@dataclass(frozen=True)
class Shape:
    """How a frame is made from stored columns.

    Parameters:
        columns: the columns of the frame, in their order.
        reads: the stored columns that they are made from.
        make: turns arrays of `reads` into arrays of `columns`.
        look_back: rows before the first that `make` is also given, if there are any, for derived columns.
        index: makes the index from bar starts (seconds, UTC); by default that of the series, in New York time.
    """

    columns: Sequence[str]
    reads: Sequence[str]
    make: Callable[[Mapping[str, Values]], Mapping[str, Values]]
    look_back: int = 0
    index: Callable[[Int64Array], pd.DatetimeIndex] | None = None


def price_change(close: Values) -> Values:
    """Return the relative change from each close to the next, with the arithmetic of pandas' `pct_change`."""
    change = np.full(len(close), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        change[1:] = close[1:] / close[:-1] - 1
    return change


def frame_of_bars(view: SeriesView, shape: Shape, budget: MemoryBudget, *, weight: int = 1) -> FramedSeries:
    """Return a frame with a row for each bar of a series. The larger `weight`, the fewer rows are read ahead."""
    rows, load = rows_of_bars(view, shape)
    return FramedSeries(rows, load, budget, columns=shape.columns, weight=weight)


def rows_of_bars(view: SeriesView, shape: Shape) -> tuple[PagedTimes, Callable[[int, int], BarTable]]:
    """Return a row for each bar of a series, and the function that makes rows of the frame."""
    times = PagedTimes(view)
    index_of = shape.index or view.index_of

    def load(start: int, stop: int) -> BarTable:
        begin = max(0, start - shape.look_back)
        bar_starts, stored = _stored(view, times, shape.reads, begin, stop)
        made = shape.make(stored)
        skipped = start - begin
        columns = {name: made[name][skipped:] for name in shape.columns}
        return BarTable(columns, index_of(bar_starts[skipped:]))

    return times, load


def _stored(
    view: SeriesView, rows: PagedTimes, columns: Sequence[str], start: int, stop: int
) -> tuple[Int64Array, dict[str, Values]]:
    """Return the bar starts (seconds, UTC) and stored columns of rows `[start, stop)`."""
    if start >= stop:
        dtypes = {column.name: column.dtype for column in view.facts.columns}
        return np.empty(0, np.int64), {name: np.empty(0, dtypes[name]) for name in columns}
    first, within = rows.covering(start, stop)
    bars = view.bars(within, columns)
    cut = slice(start - first, stop - first)
    return bars.times[cut], {name: values[cut] for name, values in bars.columns.items()}
