"""Lumibot's `self.indicators` on windowed data: a finite look-back reads that many rows, not the whole series.

Lumibot's indicators start from the full frame in the data store and cut it at the strategy's time. Moving averages say
how many rows they need; for those, the rows come from a window. All others get the full frame, as their definition
demands.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from lumibot.indicators.indicators import Indicators

from lumibot_duckdb.windows.windowed_data import WindowedData

_OWN = "_lumibot_duckdb_full_history"


def read_indicators_from_windows() -> None:
    """Let `Indicators` ask windowed data for just the rows it needs. Other data is asked as before. Idempotent."""
    if _OWN in Indicators.__dict__:
        return
    setattr(Indicators, _OWN, Indicators._full_history)

    def full_history(
        self: Any, asset: Any, timestep: str, *, quote: Any = None, exchange: Any = None, required_length: Any = None
    ) -> pd.DataFrame | None:
        if required_length is not None:
            rows = _recent_rows(self, asset, timestep, quote, required_length)
            if rows is not None:
                return rows
        history: pd.DataFrame | None = getattr(self, _OWN)(
            asset, timestep, quote=quote, exchange=exchange, required_length=required_length
        )
        return history

    Indicators._full_history = full_history


def _recent_rows(indicators: Any, asset: Any, timestep: str, quote: Any, length: int) -> pd.DataFrame | None:
    """Return the last `length` rows up to the strategy's time, if windowed data has as many; else None."""
    source = getattr(getattr(indicators._strategy, "broker", None), "data_source", None)
    if getattr(source, "_data_store", None) is None:
        return None
    data = indicators._find_in_store(source, asset, timestep, quote=quote)
    if not isinstance(data, WindowedData):
        return None
    return data.last_rows(indicators._strategy.get_datetime(), length)
