"""An indicator of Lumibot's, computed once for a whole series and then looked up row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.windows.window import MemoryBudget

Compute: TypeAlias = Callable[[pd.DataFrame], Any]
"""Computes an indicator from a frame of bars."""

_NOTHING = np.empty(0)


class ComputedIndicator:
    """The values of one indicator in all rows of a frame. They are held while the memory budget has room.

    Parameters:
        compute: the indicator. Its value in a row must not depend on later rows.
        frame: returns the bars.
        budget: the memory shared with windows.
    """

    def __init__(self, compute: Compute, frame: Callable[[], pd.DataFrame], budget: MemoryBudget) -> None:
        self.last_used = 0
        self._compute = compute
        self._frame = frame
        self._budget = budget
        self._values: np.ndarray[Any, Any] = _NOTHING
        self._columns: pd.Index[Any] | None = None
        self._is_usable = True
        budget.register(self)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self._values.nbytes)

    def drop(self) -> None:
        """Free the values. They are computed again when they are needed."""
        self._values = _NOTHING

    def value(self, row: int, time: pd.Timestamp) -> Any:
        """Return a row as Lumibot would take it from the result: a number, or a series named by `time`.

        None if a value is missing, or the indicator has none for each row. What Lumibot returns then depends on how
        many rows there are.
        """
        self.last_used = self._budget.clock
        values = self._values
        if self._is_usable and not len(values):
            values = self._computed()
        if not self._is_usable or np.isnan(values[row]).any():
            return None
        if self._columns is None:
            return values[row]
        return pd.Series(values[row].copy(), index=self._columns, name=time)

    def _computed(self) -> np.ndarray[Any, Any]:
        frame = self._frame()
        try:
            found = self._compute(frame)
        except Exception:  # Lumibot raises it again, or not if it comes from later rows
            found = None
        is_table = isinstance(found, pd.DataFrame)
        dtypes = found.dtypes if is_table else [getattr(found, "dtype", None)]
        if not isinstance(found, (pd.Series, pd.DataFrame)) or len(found) != len(frame) or set(dtypes) != {_FLOAT}:
            self._is_usable = False
            return _NOTHING
        self._columns = found.columns if isinstance(found, pd.DataFrame) else None
        values: np.ndarray[Any, Any] = found.to_numpy().copy()
        self._values = values
        self._budget.record_load(self, 0)
        return values


_FLOAT = np.dtype(np.float64)
