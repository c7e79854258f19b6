"""The private hooks of Lumibot's sources of `Data` objects under public names."""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import datetime
from operator import attrgetter
from typing import Any

import pandas as pd
from lumibot.data_sources import PandasData
from lumibot.entities import Data

_INTRADAY = frozenset(("minute", "hour"))
_timestep = attrgetter("timestep")


class PandasDataHooks(PandasData):  # type: ignore[misc]
    """A source that Lumibot calls under public names. Each has a method `lumibots_...` with what Lumibot would do."""

    @property
    def loaded_data(self) -> MutableMapping[Any, Data]:
        """The data of each asset and quote, in which Lumibot looks assets up."""
        data: MutableMapping[Any, Data] = self._data_store
        return data

    @property
    def clock_timestep(self) -> str:
        """The unit of the steps of the clock: "minute", "hour" or "day"."""
        timestep: str = self._timestep
        return timestep

    def set_clock_timestep(self, timestep: str) -> None:
        """Set the unit of the clock's steps, which Lumibot would otherwise derive from how often a strategy runs."""
        self._timestep = timestep
        self._timestep_explicit = True

    def read_bars(
        self,
        asset: Any,
        length: int,
        timestep: str,
        timeshift: Any,
        quote: Any,
        exchange: Any,
        include_after_hours: bool,
    ) -> pd.DataFrame | None:
        """Return the last bars at the clock's time."""
        return self.lumibots_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)

    def lumibots_bars(self, *request: Any) -> pd.DataFrame | None:
        """Return the bars that Lumibot finds; the arguments are those of `read_bars`."""
        bars: pd.DataFrame | None = super()._pull_source_symbol_bars(*request)
        return bars

    def adjust_daily_price(self, data: Any, price: Any, now: datetime) -> Any:
        """Return a price of an earlier day, adjusted for a split since then."""
        return self.lumibots_adjusted_price(data, price, now)

    def lumibots_adjusted_price(self, data: Any, price: Any, now: datetime) -> Any:
        """Return a price as Lumibot adjusts it; of `data` it needs `timestep` and `df`, the rows of the day."""
        return super()._adjust_stale_daily_price_for_stock_split(data, price, now)

    def _pull_source_symbol_bars(
        self,
        asset: Any,
        length: int,
        timestep: str = "",
        timeshift: Any = 0,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
    ) -> pd.DataFrame | None:
        return self.read_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)

    def _get_backtest_daily_corporate_action_frame(self, asset: Any, quote: Any = None) -> pd.DataFrame | None:
        # In each iteration, Lumibot looks at all loaded data for each position, and uses daily ones only.
        if _INTRADAY.issuperset(map(_timestep, self.loaded_data.values())):
            return None
        frame: pd.DataFrame | None = super()._get_backtest_daily_corporate_action_frame(asset, quote)
        return frame

    def _adjust_stale_daily_price_for_stock_split(self, data: Any, price: Any, dt: Any) -> Any:
        return self.adjust_daily_price(data, price, dt)
