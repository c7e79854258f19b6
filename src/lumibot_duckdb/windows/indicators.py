"""Lumibot's `self.indicators` on windowed data: a moving average reads the rows it needs, not the whole series.

Moving averages say how many rows they need, so those come from a window. Recursive indicators get the full frame, as
their definition demands.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.lumibot_contract.indicators_hooks import read_recent_rows_with
from lumibot_duckdb.windows.windowed_data import WindowedData


def read_indicators_from_windows() -> None:
    """Make `self.indicators` read only the rows that it needs from windowed data. Idempotent."""
    if keeps_contract("indicators", otherwise="indicators read whole frames"):
        read_recent_rows_with(_recent_rows)


def _recent_rows(data: Any, time: datetime, count: int) -> pd.DataFrame | None:
    return data.last_rows(time, count) if isinstance(data, WindowedData) else None
