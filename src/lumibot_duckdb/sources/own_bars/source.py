"""`PandasDataBacktesting` on the store, for user-supplied bars."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting

from lumibot_duckdb.sources.own_bars.selection import SelectsSeries
from lumibot_duckdb.sources.shared.class_substitution import StandIn
from lumibot_duckdb.sources.shared.data_source_of_windows import DataSourceOfWindows
from lumibot_duckdb.windows.trading_index import session_minutes
from lumibot_duckdb.windows.windowed_data import WindowedData


class PandasDataBacktesting(SelectsSeries, DataSourceOfWindows, LumibotPandasDataBacktesting, metaclass=StandIn):  # type: ignore[misc]
    """Drop-in for Lumibot's class of this name. `using` names stored series; `pandas_data` works as in Lumibot."""

    def __init__(self, *args: Any, pandas_data: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, pandas_data=pandas_data, **kwargs)
        if self.settings:
            unit = self.unit()
            for asset, quote, pin in self.selected(self.storage, self.as_of):
                self.pandas_data[asset, quote] = self.windowed(pin, asset, quote, unit)

    def update_date_index(self) -> pd.DatetimeIndex:
        """Merge the bar times of all series as Lumibot does, from an outline of each that merges to the same."""
        minutes = next((data.timestep for data in self._data_store.values()), None) == "minute"
        outlines: Mapping[Any, Any] = {
            key: SimpleNamespace(df=SimpleNamespace(index=data.index_outline(minutes_are_filled=minutes)))
            if isinstance(data, WindowedData)
            else data
            for key, data in self._data_store.items()
        }
        outlined = SimpleNamespace(
            _data_store=outlines,
            _timestep=self._timestep,
            datetime_start=self.datetime_start,
            datetime_end=self.datetime_end,
        )
        merged: pd.DatetimeIndex = LumibotPandasDataBacktesting.update_date_index(outlined)
        return merged

    def clean_trading_times(self, dt_index: pd.DatetimeIndex, pcal: pd.DataFrame) -> pd.DatetimeIndex:
        """Fill the minutes of each day as Lumibot does, without a row of a frame for each minute of the year."""
        if self._timestep != "minute" or len(dt_index) == 0:
            cleaned: pd.DatetimeIndex = super().clean_trading_times(dt_index, pcal)
            return cleaned
        return session_minutes(dt_index, pcal, pd.Timestamp(self.datetime_end))
