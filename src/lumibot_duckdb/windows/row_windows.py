"""Frames and single values of a series' filled rows, read through windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.windows.bar_table import BarTable, Values
from lumibot_duckdb.windows.filled_series import FilledRows, FilledSeries
from lumibot_duckdb.windows.filling import BAR_COLUMNS
from lumibot_duckdb.windows.shown_rows import ShownRows
from lumibot_duckdb.windows.window import MemoryBudget, SlidingWindow


class RowWindows:
    """The filled rows of `series`: one window slides over them, another holds all of them while there is room.

    Frames belong to the caller, except that `bars` returns the same one while the request stays the same.
    """

    def __init__(self, series: FilledSeries, budget: MemoryBudget, shown: ShownRows) -> None:
        self._series = series
        self._shown = shown
        self._size = len(series)
        self._has_every_column = series.has_every_column
        self._budget = budget
        self.recent: SlidingWindow[FilledRows] = SlidingWindow(
            self._size, series.load, budget, series.row_bytes, join=series.join
        )
        self._whole: SlidingWindow[BarTable] | None = None
        self._latest_bars: tuple[tuple[int, ...], pd.DataFrame] | None = None

    def __len__(self) -> int:
        return self._size

    def bars(self, start: int, stop: int, *request: int) -> pd.DataFrame:
        """Return rows `[start, stop)` with the columns of bars; for an unchanged request the same frame as before.

        Lumibot's `Data` returns the same frame, too, so that `Bars` adds its columns once.
        """
        key = (start, stop, *request)
        latest = self._latest_bars
        if latest is not None and latest[0] == key:
            return latest[1]
        bars = self.cut_bars(start, stop)
        self._latest_bars = (key, bars)
        return bars

    def cut_bars(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)` with the columns that a request for bars returns."""
        self._shown.add(start, stop)
        first, rows = self.recent.cover(start, stop)
        return rows.bars.frame(start - first, stop - first)

    def frame(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)` with every column."""
        self._shown.add(start, stop)
        if not self._has_every_column:
            frame: pd.DataFrame = self._series.load_whole(start, stop).iloc[: stop - start]
            return frame
        first, rows = self.recent.cover(start, stop)
        return rows.table.frame(start - first, stop - first)

    def whole(self, stop: int | None = None) -> pd.DataFrame:
        """Return all rows (or those before `stop`) with every column. All are kept while the budget has room."""
        self._shown.add(0, self._size)
        if self._whole is None:
            load = self._series.load_every_column
            self._whole = SlidingWindow(self._size, load, self._budget, self._series.row_bytes)
        return self._whole.cover(0, self._size)[1].frame(0, self._size if stop is None else stop)

    def values(self, column: str, start: int, stop: int) -> Values:
        """Return the values of a column in rows `[start, stop)`."""
        if not (self._has_every_column or column in BAR_COLUMNS):
            return self.frame(start, stop)[column].to_numpy()
        self._shown.add(start, stop)
        first, rows = self.recent.cover(start, stop)
        return rows.table.columns[column][start - first : stop - first]

    def value(self, column: str, row: int) -> Any:
        """Return the value of a column in one row, which must exist."""
        if not (self._has_every_column or column in BAR_COLUMNS):
            return self.frame(row, row + 1)[column].to_numpy()[0]
        self._shown.add(row, row + 1)
        first, rows = self.recent.cover(row, row + 1)
        return rows.table.columns[column][row - first]

    def whole_column(self, column: str) -> Values:
        """Return the values of a column in all rows."""
        return np.asarray(self.whole()[column].to_numpy())
