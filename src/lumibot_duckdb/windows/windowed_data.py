"""Lumibot's `Data` entity, backed by windows over a stored series instead of a whole frame.

Lumibot's own code, inherited from `Data`, decides everything: which bar is visible, what a price is, when a request
fails. Only the rows come from elsewhere, from windows that slide over the store.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from lumibot.entities import Asset, Data
from lumibot.tools.helpers import parse_timestep_qty_and_unit

from lumibot_duckdb.lumibot_contract.data_entity_hooks import SPLIT_ADJUSTED_COLUMN, BarState, FramelessData
from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, epoch_nanoseconds
from lumibot_duckdb.windows.aligned_series import AlignedSeries
from lumibot_duckdb.windows.bar_rows import BarRows, SharedRows, StoredRows, bar_length
from lumibot_duckdb.windows.bucket_numbering import midnight
from lumibot_duckdb.windows.bucketed_series import BucketedBars
from lumibot_duckdb.windows.filled_series import FilledSeries
from lumibot_duckdb.windows.filling import BAR_COLUMNS, PLAIN_DTYPES
from lumibot_duckdb.windows.larger_bars import ROWS_PER_BAR
from lumibot_duckdb.windows.lazy_columns import LazyColumn, LazyIndex
from lumibot_duckdb.windows.series_view import SeriesView
from lumibot_duckdb.windows.trading_index import NANOSECONDS, TradingIndex
from lumibot_duckdb.windows.window import MemoryBudget

_BEFORE_ALL = -(2**62)


class WindowedData(FramelessData):
    """Bars of one stored series for a backtest, usable wherever Lumibot takes a `Data`.

    Parameters:
        asset: the asset of the bars.
        view: what the backtest sees of the stored series.
        timestep: "minute", "hour" or "day".
        quote: the asset that prices are in.
        budget: the memory that the windows share with others; by default a budget for this series alone.

    Raises:
        ValueError: if the series has no bars.
    """

    def __init__(
        self,
        asset: Asset,
        view: SeriesView,
        *,
        timestep: str = "minute",
        quote: Asset | None = None,
        budget: MemoryBudget | None = None,
    ) -> None:
        if view.facts.rows == 0:
            raise ValueError(f"{view.label}: the series has no bars, so no backtest can use it")
        gaps = {column.name for column in view.facts.columns if column.has_nulls}
        super().__init__(asset, *_outline_of(view), gaps, timestep=timestep, quote=quote)
        self._serve(view, budget if budget is not None else MemoryBudget())

    def _serve(self, view: SeriesView, budget: MemoryBudget) -> None:
        """Answer from a series; the dates that Lumibot keeps of it are known."""
        self._view = view
        self._budget = budget
        self._begins, self._ends = epoch_nanoseconds(self.datetime_start), epoch_nanoseconds(self.datetime_end)
        self._lumibots_code = threading.RLock()  # `Data.get_bars` keeps its latest frame in two steps
        self._aligned: AlignedSeries | None = None
        self._any_split_adjusted: bool | None = None
        self._all_bars: SeriesView | None = None
        self._closing_delay: int | None = None

    # -- rows ------------------------------------------------------------------------------------------------

    def index_outline(self, *, minutes_are_filled: bool) -> pd.DatetimeIndex:
        """Return times that make the same merged index as all bar times do.

        Where Lumibot fills every minute between the first and the last bar of a day, these two are enough.
        """
        if minutes_are_filled and self.timestep == "minute":
            bounds = self._view.session_bounds()
            is_new = np.ones(len(bounds), bool)
            is_new[1:] = bounds[1:] > bounds[:-1]  # a day may have one bar only
            return self._view.index_of(bounds[is_new])
        return self._view.index()

    def repair_times_and_fill(self, idx: pd.DatetimeIndex | TradingIndex) -> None:
        """Align the series with a backtest's time index. Unlike in `Data`, rows are filled when they are read."""
        index = idx if isinstance(idx, TradingIndex) else TradingIndex.of(idx)
        first = index.row_at(epoch_nanoseconds(self.datetime_start) - 1) + 1
        stop = index.row_at(epoch_nanoseconds(self.datetime_end)) + 1
        self._align_with(SharedRows(index, first, stop, self.timestep))

    def align(self) -> None:
        """Number the rows by the series' own bars, unless a backtest's index numbers them already."""
        self._series()

    def _series(self) -> AlignedSeries:
        return self._aligned or self._align_with(StoredRows(self._view, self.timestep, self._budget))

    def _align_with(self, rows: BarRows) -> AlignedSeries:
        filled = FilledSeries(self._view, rows, self.asset, self.quote, self.timestep)
        self._aligned = aligned = AlignedSeries.of(
            self._view, filled, self.timestep, self._budget, has_gaps=self.prices_may_be_missing
        )
        self.describe_rows(
            len(rows), LazyIndex(rows), filled.filled_names(), lambda name: LazyColumn(aligned.windows, name)
        )
        return aligned

    def row_at(self, time: dt.datetime) -> int:
        """Return the row of the last bar at or before `time`; -1 before the first."""
        return self._series().lookup.locate(time)[1]

    def bar_state(self, row: int, time: dt.datetime) -> BarState | None:
        """Return whether the intraday bar of `row` has closed at `time`; None unless it is the last one by then."""
        return self._series().lookup.bar_state(row, time)

    @property
    def all_bars(self) -> SeriesView:
        """The bars of the pinned version, including those that Lumibot would not have."""
        if self._all_bars is None:
            self._all_bars = self._view.unrestricted()
        return self._all_bars

    @property
    def closing_delay(self) -> int:
        """Seconds by which the bars may close later than the timestep says: frames may have larger bars."""
        if self._closing_delay is None:
            length = bar_length(self._view, self._view.outline(), self.timestep)
            late = 0 if length is None else length - NANOSECONDS[self.timestep]
            self._closing_delay = late // NANOSECONDS_PER_SECOND
        return self._closing_delay

    def visible_until(self, time: dt.datetime) -> EpochSeconds | None:
        """Return before which moment a bar must begin so that a strategy sees it at `time`; None: any day."""
        if self.timestep == "day":
            return None
        _, stop = self.visible_rows(time, 1, 0)
        return self._series().rows.time(stop - 1) // NANOSECONDS_PER_SECOND + 1 if stop else _BEFORE_ALL

    def visible_rows(self, time: dt.datetime, length: int, shift: int) -> tuple[int, int]:
        """Return the rows `[start, stop)` of the last `length` bars that a strategy sees at `time`, `shift` earlier."""
        return self._series().lookup.visible_rows(time, length, shift)

    # -- bars ------------------------------------------------------------------------------------------------

    def get_bars(
        self, dt: dt.datetime, length: int = 1, timestep: str = Data.MIN_TIMESTEP, timeshift: Any = 0
    ) -> pd.DataFrame | None:
        """Return the last `length` bars of `timestep` visible at `dt`, as `Data.get_bars` does."""
        bars = self._bars(dt, length, timestep, timeshift)
        return bars.without_returns() if isinstance(bars, BucketedBars) else bars

    def bars_with_returns(self, dt: dt.datetime, length: int, timestep: str, timeshift: Any = 0) -> pd.DataFrame | None:
        """Return the bars of `get_bars`, where possible with the columns that Lumibot's `Bars` would add."""
        bars = self._bars(dt, length, timestep, timeshift)
        return bars.frame() if isinstance(bars, BucketedBars) else bars

    def _bars(self, dt: dt.datetime, length: int, timestep: str, timeshift: Any) -> pd.DataFrame | BucketedBars | None:
        """Answer from windows where `Data.get_bars` would plainly return the same; otherwise call it."""
        series = self._aligned or self._series()
        quantity, unit = parse_timestep_qty_and_unit(timestep)
        if quantity == 1 and unit == self.timestep:
            shift = timeshift if type(timeshift) is int else self.shift_in_rows(timeshift)
            start, stop = series.lookup.visible_rows(dt, length, shift)
            if start >= stop:
                return None
            if start >= series.complete_from:
                return series.windows.bars(start, stop, int(length), shift)
        elif (
            series.larger_bars is not None
            and (self.timestep, unit) in ROWS_PER_BAR
            and self._is_plain_request(series, dt, length, quantity)
        ):
            shift = timeshift if type(timeshift) is int else self.shift_in_rows(timeshift)
            larger = series.larger_bars.bars(dt, length, quantity, unit, shift)
            if larger is not None:
                return larger
        with self._lumibots_code:
            bars: pd.DataFrame | None = super().get_bars(dt, length=length, timestep=timestep, timeshift=timeshift)
        return bars

    def _is_plain_request(self, series: AlignedSeries, dt: dt.datetime, length: Any, quantity: int) -> bool:
        """Whether `Data` would neither refuse the request nor warn about it."""
        return (
            type(length) is int
            and length > 0
            and quantity > 0
            and self._begins <= series.lookup.locate(dt)[3] <= self._ends
            and not self.strict_end_check
        )

    def bars_in_rows(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)` with the columns that a request for bars returns."""
        return self._series().windows.cut_bars(start, stop)

    # -- prices ----------------------------------------------------------------------------------------------

    def get_last_price(self, dt: dt.datetime, length: int = 1, timeshift: Any = 0) -> Any:
        """Return the last price at `dt` as `Data.get_last_price` does, which Lumibot calls for each position.

        `Data` checks every request first. A time within the series passes its checks.
        """
        series = self._aligned
        is_plain = length == 1 and timeshift == 0 and getattr(dt, "tzinfo", None) is not None
        if series is not None and is_plain and "open" in self.datalines and "close" in self.datalines:
            _, row, closed, now = series.lookup.locate(dt)
            if row >= 0 and self._begins <= now <= self._ends and not self.strict_end_check:
                price = series.windows.value("close" if closed or self.timestep == "day" else "open", row)
                if type(price) is np.float64:
                    return None if np.isnan(price) else price
        return super().get_last_price(dt, length=length, timeshift=timeshift)

    # -- frames with every column ----------------------------------------------------------------------------

    def whole_frame(self) -> pd.DataFrame:
        """Return all rows: filled if the series is aligned with a backtest's index, as stored before that."""
        return self._view.frame() if self._aligned is None else self._aligned.windows.whole()

    def rows_between(self, start: dt.datetime, end: dt.datetime, *, bars_only: bool) -> pd.DataFrame:
        """Return the rows from the bar at `start` to the one before the bar at `end`."""
        windows = self._series().windows
        stop = self.row_at(end)
        # Lumibot slices a frame, which counts a negative stop from the end.
        first, stop, _ = slice(max(0, self.row_at(start)), stop).indices(len(windows))
        stop = max(first, stop)
        return windows.cut_bars(first, stop) if bars_only else windows.frame(first, stop)

    def rows_of_day(self, time: dt.datetime) -> pd.DataFrame:
        """Return the filled rows of the calendar day that `time` is on in its own time zone."""
        series = self._series()
        day = pd.Timestamp(pd.Timestamp(time).date()).value // NANOSECONDS["day"]
        first, stop = (series.rows.row_from(midnight(number)) for number in (day, day + 1))
        frame = series.windows.frame(first, stop)
        if SPLIT_ADJUSTED_COLUMN in frame.columns:
            frame[SPLIT_ADJUSTED_COLUMN] = self._is_split_adjusted()
        return frame

    def _is_split_adjusted(self) -> bool:
        """Whether any row of the whole series is marked as adjusted, which for Lumibot holds for all rows then."""
        if self._any_split_adjusted is None:
            marks = pd.Series(self.df[SPLIT_ADJUSTED_COLUMN]).fillna(False).astype(bool)
            self._any_split_adjusted = bool(marks.any())
        return self._any_split_adjusted

    @property
    def is_aligned(self) -> bool:
        """Whether the rows are numbered and filled."""
        return self._aligned is not None

    @property
    def budget(self) -> MemoryBudget:
        """The memory that the windows share with others."""
        return self._budget

    def last_row(self, time: dt.datetime) -> int:
        """Return the last row at or before a time, closed or not; -1 before the first."""
        return self._series().rows.row_at(epoch_nanoseconds(time))

    def row_time(self, row: int) -> pd.Timestamp:
        """Return the time of a row, as in the index of frames."""
        time: pd.Timestamp = self._series().rows.index(row, row + 1)[0]
        return time

    def first_rows(self, count: int) -> pd.DataFrame:
        """Return the first rows with every column."""
        return self._series().windows.whole(count)

    def last_rows(self, time: dt.datetime, count: int) -> pd.DataFrame | None:
        """Return the `count` filled rows up to `time`; None if the series has fewer."""
        series = self._series()
        stop = series.rows.row_at(epoch_nanoseconds(time)) + 1
        return None if stop < count else series.windows.frame(stop - count, stop)

    # -- what code outside of Lumibot's `Data` reads -----------------------------------------------------------

    @property
    def iter_index(self) -> pd.Series[int]:
        """Row numbers by bar time, as in `Data`."""
        rows = self._series().rows
        numbers: pd.Series[int] = pd.Series(np.arange(len(rows)), index=rows.index(0, len(rows)))
        return numbers

    def __getattr__(self, name: str) -> Any:
        # `Data` has each column as an attribute, too (`data.close`); here they are read when they are used.
        lines = self.__dict__.get("datalines", {})
        if name in lines:
            return np.asarray(lines[name].dataline)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _outline_of(view: SeriesView) -> tuple[pd.DatetimeIndex, list[str], Callable[[], pd.DataFrame]]:
    """Return the times of the first and the last bar (one if they are the same), the columns, and both bars.

    `Data` looks at times and at the names of these columns only, so the two bars need not be read, if the dtypes are
    plain.
    """
    ends = sorted({time for time in (view.facts.first, view.facts.last) if time is not None})
    dtypes = {column.name: column.dtype for column in view.facts.columns if column.name in BAR_COLUMNS}
    if not ends or not PLAIN_DTYPES.issuperset(dtypes.values()):
        bars = _bars_at(view, ends)
        return pd.DatetimeIndex(bars.index), list(bars.columns), lambda: bars
    index = view.index_of(np.array(ends))
    made_up = {name: np.ones(len(ends), dtype=dtype) for name, dtype in dtypes.items()}
    return index, list(dtypes), lambda: pd.DataFrame(made_up, index=index)


def _bars_at(view: SeriesView, times: list[EpochSeconds]) -> pd.DataFrame:
    frames = [view.frame(TimeRange(time, time + 1)) for time in times]
    bars: pd.DataFrame = pd.concat(frames) if frames else view.frame(TimeRange(0, 0))
    return bars
