"""A series in memory, for tests with many examples, which a store of each would slow down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import BarArrays, ColumnSpec, SeriesFacts, TimeRange
from lumibot_duckdb.storage.times import Int64Array, bar_starts
from lumibot_duckdb.windows.series_view import SeriesView


class FrameView(SeriesView):
    """What a backtest sees of a frame of bars, as if they were stored."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.label = "a frame"
        self._frame = frame
        self._times = bar_starts(frame)
        columns = tuple(ColumnSpec(str(name), str(frame[name].dtype), bool(frame[name].isna().any())) for name in frame)
        first, last = int(self._times[0]), int(self._times[-1])
        self.facts = SeriesFacts(columns, "ns", len(frame), first, last, bool((self._times % 60 == 0).all()))

    def times(self) -> Int64Array:
        return self._times

    def bars(self, within: TimeRange, columns: Sequence[str] | None = None) -> BarArrays:
        first, stop = self._times.searchsorted((within.start, within.end))
        names = [column.name for column in self.facts.columns] if columns is None else columns
        return BarArrays(self._times[first:stop], {name: self._frame[name].to_numpy()[first:stop] for name in names})

    def frame(self, within: TimeRange | None = None) -> pd.DataFrame:
        if within is None:
            return self._frame.copy()
        first, stop = self._times.searchsorted((within.start, within.end))
        cut: pd.DataFrame = self._frame.iloc[first:stop].copy()
        return cut

    def last_time_at_or_before(self, time: int, column: str | None = None) -> int | None:
        known = np.ones(len(self._times), bool) if column is None else self._frame[column].notna().to_numpy()
        times = self._times[known & (self._times <= time)]
        return int(times[-1]) if len(times) else None
