"""`PandasDataBacktesting` on the store, for user-supplied bars."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lumibot_duckdb.lumibot_contract.own_bars_hooks import OwnBarsHooks
from lumibot_duckdb.sources.own_bars.selection import SelectsSeries
from lumibot_duckdb.sources.shared.class_substitution import SwitchableMeta
from lumibot_duckdb.sources.shared.data_source_of_windows import DataSourceOfWindows
from lumibot_duckdb.windows.trading_index import session_minutes
from lumibot_duckdb.windows.windowed_data import WindowedData


class PandasDataBacktesting(SelectsSeries, DataSourceOfWindows, OwnBarsHooks, metaclass=SwitchableMeta):
    """Drop-in for Lumibot's class of this name. `using` names stored series; `pandas_data` works as in Lumibot."""

    def __init__(self, *args: Any, pandas_data: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, pandas_data=pandas_data, **kwargs)
        if self.settings:
            unit = self.unit()
            for asset, quote, pin in self.selected(self.storage, self.as_of):
                self.pandas_data[asset, quote] = self.windowed(pin, asset, quote, unit)

    def update_date_index(self) -> pd.DatetimeIndex:
        """Merge the bar times of all series as Lumibot does, from an outline of each that merges to the same."""
        loaded = self.loaded_data.values()
        minutes = next((data.timestep for data in loaded), None) == "minute"
        return self.merged_times(
            data.index_outline(minutes_are_filled=minutes) if isinstance(data, WindowedData) else data.df.index
            for data in loaded
        )

    def clean_trading_times(self, dt_index: pd.DatetimeIndex, pcal: pd.DataFrame) -> pd.DatetimeIndex:
        """Fill the minutes of each day as Lumibot does, without a row of a frame for each minute of the year."""
        if self.clock_timestep != "minute" or len(dt_index) == 0:
            cleaned: pd.DatetimeIndex = super().clean_trading_times(dt_index, pcal)
            return cleaned
        return session_minutes(dt_index, pcal, pd.Timestamp(self.datetime_end))
