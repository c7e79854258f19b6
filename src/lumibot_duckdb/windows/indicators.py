"""Lumibot's `self.indicators` on windowed data: with less reading and computing, and the same values.

A simple moving average says how many rows it needs, so those come from a window. Other indicators depend on all rows by
Lumibot's definition. Most of them are causal, so they are computed once for all rows, and looked up from then on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.lumibot_contract.indicators_hooks import (
    MOST_RECORDED,
    compute_once_with,
    read_recent_rows_with,
)
from lumibot_duckdb.windows.computed_indicator import Compute, ComputedIndicator
from lumibot_duckdb.windows.windowed_data import WindowedData


def read_indicators_from_windows() -> None:
    """Make `self.indicators` read and compute no more than it needs on windowed data. Idempotent."""
    if keeps_contract("indicators", otherwise="indicators read whole frames"):
        read_recent_rows_with(_recent_rows)
        compute_once_with(_compute_once)


def _recent_rows(data: Any, time: datetime, count: int) -> pd.DataFrame | None:
    return data.last_rows(time, count) if isinstance(data, WindowedData) else None


def _compute_once(data: Any, compute: Compute) -> ComputedOnData | None:
    # Before data is aligned with the index of the backtest, its frame is another one.
    return ComputedOnData(data, compute) if isinstance(data, WindowedData) and data.is_aligned else None


class ComputedOnData:
    """An indicator that is computed once for all rows of windowed data."""

    def __init__(self, data: WindowedData, compute: Compute) -> None:
        self.data = data
        self._values = ComputedIndicator(compute, data.whole_frame, data.budget)

    def at(self, time: datetime) -> Any:
        """Return the value of the last row at or before a time: a number or a series; None if Lumibot must decide."""
        row = self.data.last_row(time)
        return None if row < 0 else self._values.value(row, self.data.row_time(row))

    def rows(self, time: datetime) -> pd.DataFrame:
        """Return the rows at or before a time, or as many empty ones where they are too many to be recorded."""
        count = self.data.last_row(time) + 1
        if count <= MOST_RECORDED:
            return self.data.first_rows(count)
        too_many: pd.DataFrame = pd.DataFrame(index=pd.RangeIndex(count))
        return too_many
