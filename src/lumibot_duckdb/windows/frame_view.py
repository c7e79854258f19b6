"""What a backtest sees of a frame that a script passes: its bars, read from the frame itself without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from lumibot.constants import LUMIBOT_DEFAULT_TIMEZONE

from lumibot_duckdb.storage.api import BarArrays, ColumnSpec, EpochSeconds, SeriesFacts, TimeRange
from lumibot_duckdb.storage.times import Int64Array
from lumibot_duckdb.windows.bar_table import Values
from lumibot_duckdb.windows.filling import PRICES
from lumibot_duckdb.windows.series_view import SeriesView
from lumibot_duckdb.windows.sorted_search import first_after
from lumibot_duckdb.windows.trading_index import TradingIndex

TICKS_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

_LATEST_TICK = int(np.iinfo(np.int64).max)

_SCANNED_AT_FIRST = 64
"""Rows among which an earlier value is looked for at first; twice as many each time."""


class FrameView(SeriesView):
    """The bars of a frame as Lumibot's `Data` leaves it: sorted, trimmed and in New York time.

    Parameters:
        frame: a frame that `obstacle` finds nothing against. It is not copied and must not change.
        label: names the series in messages.
    """

    def __init__(self, frame: pd.DataFrame, label: str) -> None:
        self._frame = frame
        self._index = _index_of(frame)
        self._ticks: Int64Array = self._index.asi8
        self._per_second = TICKS_PER_SECOND[self._index.unit]
        self._columns: dict[str, Values] = {}
        super().__init__(label, self._facts())

    def _facts(self) -> SeriesFacts:
        columns = tuple(
            ColumnSpec(name, str(self._frame[name].dtype), has_nulls=bool(self._frame[name].isna().any()))
            for name in self._frame.columns
        )
        first, last = (int(self._ticks[end]) // self._per_second for end in (0, -1))
        on_minute = not np.any(self._ticks % (60 * self._per_second))
        return SeriesFacts(columns, self._index.unit, len(self._frame), first, last, on_minute)

    @property
    def whole(self) -> pd.DataFrame:
        """The frame itself."""
        return self._frame

    def index(self) -> pd.DatetimeIndex:
        """Return the index of the frame, with its frequency if it has one."""
        return self._index

    def times(self) -> Int64Array:
        """Return the starts of all bars."""
        return self._seconds(slice(None))

    def bars(self, within: TimeRange, columns: Sequence[str] | None = None) -> BarArrays:
        """Return the bars in a range, with all columns unless some are named. The arrays are parts of the frame."""
        rows = self._rows(within)
        names = list(self._frame.columns if columns is None else columns)
        return BarArrays(self._seconds(rows), {name: self._values(name)[rows] for name in names})

    def frame(self, within: TimeRange | None = None) -> pd.DataFrame:
        """Return bars as a frame."""
        bars: pd.DataFrame = self._frame.copy() if within is None else self._frame.iloc[self._rows(within)]
        return bars

    def last_time_at_or_before(self, time: EpochSeconds, column: str | None = None) -> EpochSeconds | None:
        """Return the start of the last bar at or before `time` (where `column` is not missing), if any."""
        stop = first_after(self._ticks, time * self._per_second)
        row = stop - 1 if column is None else self._last_value(self._frame[column], stop)
        return int(self._ticks[row]) // self._per_second if row >= 0 else None

    def session_bounds(self) -> Int64Array:
        """Return the first and the last bar start of each New York day, or all if bars start within minutes."""
        if not self.facts.on_minute:
            return self.times()
        first_rows = TradingIndex(self._index).days()[0]
        rows = np.stack([first_rows, np.append(first_rows[1:], len(self._ticks)) - 1], axis=1).ravel()
        bounds: Int64Array = self._ticks[rows] // self._per_second
        return bounds

    def _rows(self, within: TimeRange) -> slice:
        latest = _LATEST_TICK // self._per_second  # a range may be unbounded
        bounds = [max(-latest, min(time, latest)) * self._per_second for time in (within.start, within.end)]
        return slice(*self._ticks.searchsorted(bounds).tolist())

    def _seconds(self, rows: slice) -> Int64Array:
        seconds: Int64Array = self._ticks[rows] // self._per_second
        return seconds

    def _values(self, column: str) -> Values:
        if column not in self._columns:
            self._columns[column] = self._frame[column].to_numpy()
        return self._columns[column]

    @staticmethod
    def _last_value(values: pd.Series[Any], stop: int) -> int:
        """Return the last row before `stop` with a value; -1 if there is none."""
        scanned = _SCANNED_AT_FIRST
        while stop > 0:
            start = max(0, stop - scanned)
            found = np.flatnonzero(values.iloc[start:stop].notna().to_numpy())
            if len(found):
                return start + int(found[-1])
            stop, scanned = start, 2 * scanned
        return -1


def obstacle(frame: pd.DataFrame) -> str | None:
    """Return why the frame of a `Data` cannot be read in windows, a clause for a message; None if it can."""
    names = frame.columns
    if not all(isinstance(name, str) for name in names) or not names.is_unique:
        return "its columns are not names that occur once each"
    if missing := [name for name in PRICES if name not in names]:
        return f"it has no column {missing[0]}"
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.hasnans:
        return "its index is not made of times"
    if str(frame.index.tz) != LUMIBOT_DEFAULT_TIMEZONE:
        return f"its times are not those of {LUMIBOT_DEFAULT_TIMEZONE}"
    if not frame.index.is_unique:
        return "a time occurs twice"
    if not frame.index.is_monotonic_increasing:
        return "its times are not sorted"
    if np.any(frame.index.asi8 % TICKS_PER_SECOND[frame.index.unit]):
        return "a bar starts within a second"
    close = frame["close"].dtype
    if odd := [name for name in PRICES if frame[name].dtype != close and frame[name].isna().any()]:
        return f"prices are missing from {odd[0]}, whose dtype ({frame[odd[0]].dtype}) is not that of close ({close})"
    return None


def _index_of(frame: pd.DataFrame) -> pd.DatetimeIndex:
    assert isinstance(frame.index, pd.DatetimeIndex)
    return frame.index
