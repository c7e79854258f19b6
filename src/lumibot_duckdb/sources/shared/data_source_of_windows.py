"""Data sources that hold Lumibot's `Data` objects, served from windows of stored bars instead of full frames."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pandas as pd
from lumibot.entities import Asset

from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.lumibot_contract.pandas_data_hooks import PandasDataHooks
from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.sources.shared.indicators import SeenBars, lumibots_timestep
from lumibot_duckdb.storage.api import SeriesPin
from lumibot_duckdb.windows.indicators import read_indicators_from_windows
from lumibot_duckdb.windows.series_view import StoredView, view_of
from lumibot_duckdb.windows.windowed_data import WindowedData

START_BUFFER = timedelta(days=5)
"""How much earlier than needed a download begins, for assets that trade rarely; as in Lumibot's Polygon source."""


class DataSourceOfWindows(EnhancedDataSourceBacktesting, PandasDataHooks):
    """A subclass of Lumibot's `PandasData` whose data store holds `WindowedData`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._serving: dict[tuple[Any, Any, str], WindowedData] = {}
        super().__init__(*args, **kwargs)
        read_indicators_from_windows()

    def windowed(self, pin: SeriesPin, asset: Asset, quote: Asset | None, timestep: str) -> WindowedData:
        """Return a pinned series as Lumibot's `Data`, whose windows count towards this source's memory budget."""
        view = view_of(self.storage, pin, timestep)
        return WindowedData(asset, view, timestep=timestep, quote=quote, budget=self.budget)

    # -- requests --------------------------------------------------------------------------------------------

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
        """Answer like Lumibot, and add the returns, which `Bars` would otherwise compute on every call."""
        step = timestep or self.MIN_TIMESTEP
        data = self._serving.get((asset, quote, step)) or self._served_by(asset, quote, step)
        if exchange is not None or data is None:
            return self.lumibots_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)
        try:
            return data.bars_with_returns(self.get_datetime(), length, step, timeshift or 0)
        except ValueError:
            # Lumibot's own code logs why there are no bars.
            return self.lumibots_bars(asset, length, timestep, timeshift, quote, exchange, include_after_hours)

    def _served_by(self, asset: Any, quote: Any, step: str) -> WindowedData | None:
        """Return the windowed data that Lumibot's rules choose for a request, and remember the choice."""
        data = self.loaded_data.get(self.find_asset_in_data_store(asset, quote, step))
        if not isinstance(data, WindowedData):
            return None
        self._serving[asset, quote, step] = data
        return data

    def bars_for_indicators(self, asset: Any, quote: Any, timeframe: str, length: int) -> SeenBars | None:
        """Return the bars that answer requests for prices in the timeframe."""
        unit, _ = lumibots_timestep(timeframe)
        data = self._serving.get((asset, quote, unit)) or self._served_by(asset, quote, unit)
        if data is None:
            if self.find_asset_in_data_store(asset, quote, unit) in self.loaded_data:
                raise IndicatorError(
                    f"{asset}: its bars are left to Lumibot's own Data, so only self.indicators has them"
                )
            return None
        visible_until = data.visible_until(self.get_datetime())
        view = data.all_bars
        if isinstance(view, StoredView):
            return SeenBars(view, view.timeframe, visible_until)
        return SeenBars(view, data.timestep, visible_until, data.closing_delay)

    def load_data(self) -> Any:
        """Lay all series on the merged time index; no bars are read yet."""
        self._serving.clear()
        calendar = super().load_data()
        self.let_go()  # of the times of all bars, which were read where no outline serves
        return calendar

    def adjust_daily_price(self, data: Any, price: Any, now: datetime) -> Any:
        """Adjust a price as Lumibot does, but from the current day's rows instead of the full frame."""
        if not isinstance(data, WindowedData) or price is None:
            return self.lumibots_adjusted_price(data, price, now)
        if data.timestep != "day" or "stock_splits" not in data.datalines:
            return price
        day = SimpleNamespace(timestep="day", df=data.rows_of_day(now))
        return self.lumibots_adjusted_price(day, price, now)
