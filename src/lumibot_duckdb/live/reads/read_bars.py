"""Bars of a read on their way from the strategy's thread to the one that records them.

Making a frame and checking its bars take pandas most of a millisecond. So the strategy's thread only copies the arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.live.bar_starts import BarStarts
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.series_keys import FLOATS, Destination, NotRecordedError
from lumibot_duckdb.lumibot_contract.live_reads_hooks import is_usable
from lumibot_duckdb.lumibot_contract.pandas_blocks import column_values
from lumibot_duckdb.storage.api import SeriesKey, TimeRange


@dataclass(frozen=True, slots=True)
class ReadBars:
    """Copies of some rows of a frame that a live source returned.

    Attributes:
        destination: Where they belong.
        starts: Of the bars (UTC).
        names: The columns.
        columns: An array for each of them.
        covered: As in `LiveBars`.
        asked_at: When the source was asked (tz-aware).
    """

    destination: Destination
    starts: BarStarts
    names: Sequence[Any]
    columns: Sequence[Any]
    covered: tuple[TimeRange, ...]
    asked_at: datetime

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def key(self) -> SeriesKey:
        """The series."""
        return self.destination.key

    def live_bars(self) -> LiveBars:
        """Return the bars in the form in which the backtests' source of the provider stores them.

        Raises:
            NotRecordedError: Lumibot would not keep them.
        """
        destination = self.destination
        bars = self._floats() if destination.columns else None
        if bars is None or not _are_plausible(bars):
            bars = self._as_stored()
        return LiveBars(destination.key, bars, self.covered, self.asked_at, dict(destination.metadata))

    def _floats(self) -> pd.DataFrame | None:
        """Return the columns that are stored as floats, made quickly; None if not all are numbers."""
        given = dict(zip(self.names, self.columns, strict=True))
        stored = {name: given[name] for name in self.destination.columns or () if name in given}
        if len(given) < len(self.names) or not all(_is_number(column) for column in stored.values()):
            return None
        values = np.empty((len(stored), len(self)))
        for place, column in enumerate(stored.values()):
            values[place] = column
        made: pd.DataFrame = pd.DataFrame(values.T, index=self._times(), columns=list(stored))
        return made

    def _as_stored(self) -> pd.DataFrame:
        destination = self.destination
        frame: pd.DataFrame = pd.DataFrame(dict(enumerate(self.columns)), index=self._times())
        frame.columns = pd.Index(self.names)
        if not is_usable(frame, strict=destination.strict):
            raise NotRecordedError("they are not plausible")
        stored: pd.DataFrame
        if destination.columns is None:
            stored = frame.select_dtypes("number")
        else:
            stored = frame[[name for name in destination.columns if name in frame]].astype("float64")
        return stored

    def _times(self) -> pd.DatetimeIndex:
        times = self.starts.ticks.view(f"M8[{self.starts.unit}]")
        index: pd.DatetimeIndex = pd.DatetimeIndex(times, tz="UTC", name="datetime").as_unit("ns")
        return index


def _is_number(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind in "fiu"


def _are_plausible(bars: pd.DataFrame) -> bool:
    """Return whether bars are plausible beyond doubt, as nearly all are. Lumibot's check of others takes a while."""
    values = bars.to_numpy()
    if list(bars.columns[:5]) != list(FLOATS) or not np.isfinite(values[:, :5]).all():
        return False
    opened, high, low, close, volume = values[:, :5].T
    lowest, highest = np.minimum(opened, close), np.maximum(opened, close)
    return bool((low > 0).all() and (low <= lowest).all() and (high >= highest).all() and (volume >= 0).all())


def copied(
    frame: pd.DataFrame,
    starts: BarStarts,
    rows: slice | np.ndarray[Any, np.dtype[np.bool_]],
    destination: Destination,
    covered: tuple[TimeRange, ...],
    asked_at: datetime,
) -> ReadBars:
    """Copy rows of a frame, whose bars have these starts (UTC)."""
    columns = [column_values(frame, place)[rows].copy() for place in range(frame.shape[1])]
    kept = BarStarts(starts.ticks[rows].copy(), starts.unit)
    return ReadBars(destination, kept, list(frame.columns), columns, covered, asked_at)
