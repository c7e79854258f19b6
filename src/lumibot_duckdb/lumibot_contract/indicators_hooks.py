"""How `self.indicators` of a strategy gets its bars: private hooks of Lumibot's `Indicators`, wrapped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import pandas as pd
from lumibot.indicators.indicators import IndicatorRow, Indicators

from lumibot_duckdb.lumibot_contract.causal_indicators import is_causal
from lumibot_duckdb.lumibot_contract.indicator_dispatch import Dispatch, replace_dispatch

RecentRows: TypeAlias = Callable[[Any, Any, int], "pd.DataFrame | None"]
"""Gets the stored data of an asset, the strategy's time and a number of rows; returns those rows, or None."""

MOST_RECORDED = 50_000
"""Lumibot records no frame with more rows as an input of the strategy, only that there was one."""

_ORIGINAL = "_lumibot_duckdb_full_history"
_COMPUTES_ONCE = "_lumibot_duckdb_computes_once"


class Computed(Protocol):
    """An indicator that was computed for all rows of a series."""

    data: Any

    def at(self, time: datetime) -> Any:
        """Return the value of the last row at or before a time: a number or a series; None if Lumibot must decide."""

    def rows(self, time: datetime) -> pd.DataFrame:
        """Return the rows at or before a time, or as many empty ones where they are too many to be recorded."""


ComputeOnce: TypeAlias = Callable[[Any, "Callable[[pd.DataFrame], Any]"], "Computed | None"]
"""Gets the stored data of an asset, and a function that computes an indicator; returns None for other data."""


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


def compute_once_with(compute_once: ComputeOnce) -> None:
    """Compute causal indicators once for all rows, and Lumibot's way where that gives no value.

    Lumibot computes them from the rows up to the strategy's time, in each iteration. Calling this again changes
    nothing.
    """
    if _COMPUTES_ONCE in vars(Indicators):
        return
    setattr(Indicators, _COMPUTES_ONCE, True)

    def replacement(lumibots: Dispatch) -> Dispatch:
        def dispatch(
            self: Any,
            asset: Any,
            timestep: str,
            name: str,
            kwargs: Any,
            custom_fn: Any,
            *,
            window: Any = None,
            quote: Any = None,
            exchange: Any = None,
        ) -> Any:
            if custom_fn is None and window is None and is_causal(name, kwargs):
                value = _computed_value(self, compute_once, asset, timestep, name, kwargs, quote)
                if value is not None:
                    return value
            return lumibots(
                self, asset, timestep, name, kwargs, custom_fn, window=window, quote=quote, exchange=exchange
            )

        return dispatch

    replace_dispatch(replacement)


def _computed_value(
    indicators: Any, compute_once: ComputeOnce, asset: Any, timestep: str, name: str, kwargs: Any, quote: Any
) -> Any:
    """Return the present value of an indicator that was computed once; None if Lumibot has to compute it."""
    data = _stored_data(indicators, asset, timestep, quote)
    # In Lumibot's own memory of results, so that `invalidate` forgets it; no result of Lumibot's has this key.
    key = (*indicators._cache_key(asset, timestep, name, kwargs), quote, "computed once")
    computed: Computed | None = indicators._cache.get(key)
    if computed is None or computed.data is not data:
        computed = compute_once(data, lambda frame: indicators._compute(frame, name, kwargs, None))
        if computed is None:
            return None
        indicators._cache[key] = computed
    now = indicators._strategy.get_datetime()
    value = computed.at(now)
    if value is None:
        return None
    indicators._record_consumed_input(asset, timestep, computed.rows(now), quote=quote)
    return IndicatorRow(value) if isinstance(value, pd.Series) else value


def _stored_data(indicators: Any, asset: Any, timestep: str, quote: Any) -> Any:
    """Return what the strategy's source holds for an asset, if anything."""
    source = getattr(getattr(indicators._strategy, "broker", None), "data_source", None)
    if getattr(source, "_data_store", None) is None:
        return None
    return indicators._find_in_store(source, asset, timestep, quote=quote)
