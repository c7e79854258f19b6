"""How `self.indicators` of a strategy gets its bars: the private hook of Lumibot's `Indicators`, wrapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pandas as pd
from lumibot.indicators.indicators import Indicators

RecentRows: TypeAlias = Callable[[Any, Any, int], "pd.DataFrame | None"]
"""Gets the stored data of an asset, the strategy's time and a number of rows; returns those rows, or None."""

_ORIGINAL = "_lumibot_duckdb_full_history"


def read_recent_rows_with(recent_rows: RecentRows) -> None:
    """Call `recent_rows` for an indicator that needs a known number of rows, and Lumibot where it returns None.

    Lumibot's own way starts from the full frame of the asset. Calling this again changes nothing.
    """
    if _ORIGINAL in Indicators.__dict__:
        return
    setattr(Indicators, _ORIGINAL, Indicators._full_history)

    def full_history(
        self: Any, asset: Any, timestep: str, *, quote: Any = None, exchange: Any = None, required_length: Any = None
    ) -> pd.DataFrame | None:
        if required_length is not None:
            data = _stored_data(self, asset, timestep, quote)
            rows = None if data is None else recent_rows(data, self._strategy.get_datetime(), required_length)
            if rows is not None:
                return rows
        history: pd.DataFrame | None = getattr(self, _ORIGINAL)(
            asset, timestep, quote=quote, exchange=exchange, required_length=required_length
        )
        return history

    Indicators._full_history = full_history


def _stored_data(indicators: Any, asset: Any, timestep: str, quote: Any) -> Any:
    """Return what the strategy's source holds for an asset, if anything."""
    source = getattr(getattr(indicators._strategy, "broker", None), "data_source", None)
    if getattr(source, "_data_store", None) is None:
        return None
    return indicators._find_in_store(source, asset, timestep, quote=quote)
