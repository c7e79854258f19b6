"""The private hooks of Lumibot's source for your own bars under public names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting

from lumibot_duckdb.lumibot_contract.pandas_data_hooks import PandasDataHooks


class OwnBarsHooks(PandasDataHooks, LumibotPandasDataBacktesting):  # type: ignore[misc]
    """Lumibot's source for your own bars."""

    clock_times: Any = None
    """The times that the clock passes, as a method of this source returned them; None before data is loaded."""
    _hands_on = False

    @property
    def _date_index(self) -> Any:
        return self.clock_times if self._hands_on else self.as_index(self.clock_times)

    @_date_index.setter
    def _date_index(self, times: Any) -> None:
        self.clock_times = times

    def as_index(self, times: Any) -> pd.DatetimeIndex | None:
        """Return times as Lumibot has them."""
        index: pd.DatetimeIndex | None = times
        return index

    @contextmanager
    def handing_on_times(self) -> Iterator[None]:
        """Within the block, Lumibot gets the times that the clock passes unchanged, and hands them on to the data."""
        self._hands_on = True
        try:
            yield
        finally:
            self._hands_on = False

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
