"""A framed series whose frames include the returns that Lumibot's `Bars` would otherwise compute on every call."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from lumibot_duckdb.windows.bar_table import BarTable, slice_index
from lumibot_duckdb.windows.filling import price_change
from lumibot_duckdb.windows.framed_series import FramedSeries

RETURN = "return"
_NO_FIRST_RETURN = {0: {RETURN: float("nan")}}


class SeriesWithReturns(FramedSeries):
    """A framed series whose windows have a `return` column, which the frame and `load` do not have."""

    @staticmethod
    def _loading(load: Callable[[int, int], BarTable]) -> Callable[[int, int], BarTable]:
        return lambda start, stop: _with_returns(load(start, stop))

    def frame(self, start: int, stop: int) -> pd.DataFrame:
        """Return the rows of `[start, stop)` that exist, without returns."""
        plain: pd.DataFrame = super().frame(start, stop).drop(columns=RETURN)
        return plain

    def bars(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)`, which must exist, with returns. The first row's is NaN, as in `Bars`."""
        self._shown.add(start, stop)
        first, table = self._window.cover(start, stop)
        begin, end = start - first, stop - first
        frame: pd.DataFrame = table.patched(begin, end, slice_index(table.index, begin, end), _NO_FIRST_RETURN)
        return frame


def _with_returns(table: BarTable) -> BarTable:
    return BarTable({**table.columns, RETURN: price_change(table.columns["close"])}, table.index)
