"""Columns as Lumibot's `Data.datalines` has them: arrays of all rows, whose values are read when they are used."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lumibot_duckdb.windows.bar_rows import BarRows
from lumibot_duckdb.windows.row_windows import RowWindows


class LazyArray(Sequence[Any]):
    """A read-only array that is not in memory. `np.asarray` reads all of it."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self._size)
            return self._values(start, max(start, stop)) if step == 1 else np.asarray(self)[rows]
        row = int(rows)
        if row < 0:
            row += self._size
        if not 0 <= row < self._size:
            raise IndexError(f"row {rows} is outside of the {self._size} rows of the series")
        return self._value(row)

    def __iter__(self) -> Iterator[Any]:
        return iter(np.asarray(self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        values = self._all_values()
        return values if dtype is None else values.astype(dtype)

    @abstractmethod
    def _value(self, row: int) -> Any:
        """Return the value of one row."""

    @abstractmethod
    def _values(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Return the values of rows `[start, stop)`."""

    def _all_values(self) -> np.ndarray[Any, Any]:
        return self._values(0, self._size)


class LazyColumn(LazyArray):
    """One column of a series' filled rows."""

    def __init__(self, windows: RowWindows, name: str) -> None:
        super().__init__(len(windows))
        self._windows = windows
        self._name = name

    def _value(self, row: int) -> Any:
        return self._windows.value(self._name, row)

    def _values(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        return self._windows.values(self._name, start, stop)

    def _all_values(self) -> np.ndarray[Any, Any]:
        return self._windows.whole_column(self._name)


class LazyIndex(LazyArray):
    """The times of a series' rows, as `Timestamp`."""

    def __init__(self, rows: BarRows) -> None:
        super().__init__(len(rows))
        self._rows = rows

    def _value(self, row: int) -> Any:
        return self._rows.index(row, row + 1)[0]

    def _values(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        return self._rows.index(start, stop).to_numpy()
