"""A framed series that hands out frames with returns, which Lumibot's `Bars` would otherwise compute on every call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from lumibot_duckdb.windows.bar_table import BarTable, slice_index
from lumibot_duckdb.windows.framed_series import FramedSeries

RETURN = "return"
_NONE_YET = {0: {RETURN: float("nan")}}


class SeriesWithReturns(FramedSeries):
    """Its windows have a column more than the frame that it stands for. `load` makes rows of the latter."""

    @staticmethod
    def _loading(load: Callable[[int, int], BarTable]) -> Callable[[int, int], BarTable]:
        return lambda start, stop: _with_returns(load(start, stop))

    def frame(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)`, cut to those that there are, without returns."""
        plain: pd.DataFrame = super().frame(start, stop).drop(columns=RETURN)
        return plain

    def bars(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)`, all of which there must be, with the return from each close to the next."""
        first, table = self._window.cover(start, stop)
        begin, end = start - first, stop - first
        frame: pd.DataFrame = table.patched(begin, end, slice_index(table.index, begin, end), _NONE_YET)
        return frame


def _with_returns(table: BarTable) -> BarTable:
    close = table.columns["close"]
    returns = np.full(len(close), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        returns[1:] = (close[1:] - close[:-1]) / close[:-1]
    return BarTable({**table.columns, RETURN: returns}, table.index)
