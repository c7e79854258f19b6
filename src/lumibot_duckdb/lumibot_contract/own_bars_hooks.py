"""The private hooks of Lumibot's source for your own bars under public names."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting

from lumibot_duckdb.lumibot_contract.pandas_data_hooks import PandasDataHooks


class OwnBarsHooks(PandasDataHooks, LumibotPandasDataBacktesting):  # type: ignore[misc]
    """Lumibot's source for your own bars."""

    @property
    def clock_times(self) -> pd.DatetimeIndex | None:
        """The times that the clock passes; None before data is loaded."""
        times: pd.DatetimeIndex | None = self._date_index
        return times

    def merged_times(self, indexes: Iterable[pd.DatetimeIndex]) -> pd.DatetimeIndex:
        """Return the clock's times as Lumibot merges them from the indexes of frames, in the order of the assets."""
        inputs = SimpleNamespace(
            _data_store={
                number: SimpleNamespace(df=SimpleNamespace(index=index)) for number, index in enumerate(indexes)
            },
            _timestep=self._timestep,
            datetime_start=self.datetime_start,
            datetime_end=self.datetime_end,
        )
        merged: pd.DatetimeIndex = LumibotPandasDataBacktesting.update_date_index(inputs)
        return merged
