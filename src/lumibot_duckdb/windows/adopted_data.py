"""A `Data` that a script made, answered from windows over its own frame."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pandas as pd
from lumibot.entities import Data

from lumibot_duckdb.lumibot_contract.callers import is_lumibot_or_ours
from lumibot_duckdb.lumibot_contract.data_entity_hooks import give_back, is_as_constructed, take_frame
from lumibot_duckdb.windows.frame_view import FrameView, obstacle
from lumibot_duckdb.windows.trading_index import TradingIndex
from lumibot_duckdb.windows.window import MemoryBudget
from lumibot_duckdb.windows.windowed_data import WindowedData


def reason_to_leave(data: Any) -> str | None:
    """Return why a script's data is left to Lumibot, a clause for a message; None if `AdoptedData` can serve it."""
    if type(data) is not Data:
        return f"it is of the class {type(data).__name__}"
    if not is_as_constructed(data):
        return "it was used before, or has attributes of its own"
    return obstacle(data.df) or _hidden_attribute(data)


def _hidden_attribute(data: Data) -> str | None:
    """Say which attribute of a `Data` Lumibot would replace by a column of the same name."""
    for name in data.df.columns:
        # The symbol is only read before that, and frames often have a column of this name.
        if name == "datetime" or (name != "symbol" and (hasattr(data, name) or hasattr(AdoptedData, name))):
            return f"its column {name} has the name of an attribute"
    return None


class AdoptedData(WindowedData):
    """A script's own `Data` object: Lumibot would replace its frame by a filled one, here rows are filled when read.

    It stays the same object, as the script may hold it. When the script itself reads or replaces its frame, or copies
    it, it becomes the `Data` that Lumibot would have made of it.
    """

    @classmethod
    def adopt(cls, data: Data, budget: MemoryBudget, released: Callable[[], None]) -> None:
        """Turn a `Data` that `reason_to_leave` finds nothing against into an `AdoptedData`, in place.

        Parameters:
            data: the script's object.
            budget: the memory that its windows share with others.
            released: is called when it has become a `Data` again.
        """
        frame = take_frame(data, cls)
        assert isinstance(data, cls)
        data._serve_frame(frame, budget, released)

    def readopt(self, budget: MemoryBudget, released: Callable[[], None]) -> None:
        """Serve another backtest, which begins with the rows that the previous one has filled, as in Lumibot."""
        if self._aligned is None:
            self._serve_frame(self._frame_view.whole, budget, released)
        elif len(self._aligned.rows) == 0:
            self.release()
        else:
            self._serve_frame(self.whole_frame(), budget, released)

    def _serve_frame(self, frame: pd.DataFrame, budget: MemoryBudget, released: Callable[[], None]) -> None:
        self._frame_view = FrameView(frame, f"{self.asset} as the script passed it")
        self._released = released
        self._backtest_index: pd.DatetimeIndex | None = None
        self._serve(self._frame_view, budget)

    def repair_times_and_fill(self, idx: pd.DatetimeIndex | TradingIndex) -> None:
        """Align the series with a backtest's time index.

        If it is aligned already (a script calls this, or a backtest on Lumibot's own class), or rows of the index come
        before the first bar (an earlier backtest has left none), it becomes a `Data` first.
        """
        idx = idx.index if isinstance(idx, TradingIndex) else idx
        begin = int(idx.searchsorted(self.datetime_start, side="left"))
        begins_too_early = begin < len(idx) and idx[begin] < self._frame_view.index()[0]
        if self._aligned is not None or begins_too_early:
            self.release()
            self.repair_times_and_fill(idx)
        else:
            self._backtest_index = idx
            super().repair_times_and_fill(idx)

    def release(self) -> None:
        """Become the `Data` that Lumibot would have made of the frame by now."""
        frame, index, released = self._frame_view.whole, self._backtest_index, self._released
        give_back(self, frame)
        if index is not None:
            Data.repair_times_and_fill(self, index)
        released()

    @property
    def df(self) -> pd.DataFrame:
        """All rows with every column, as in Lumibot. After the script has read them, this is a `Data`."""
        if is_lumibot_or_ours(sys._getframe(1)):
            return self.whole_frame()
        self.release()
        frame: pd.DataFrame = self.df
        return frame

    @df.setter
    def df(self, frame: pd.DataFrame) -> None:
        self.release()
        self.df = frame

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Copies and pickles are of a `Data`, because windows cannot be copied.
        self.release()
        return object.__reduce_ex__(self, protocol)
