"""Lumibot's `Data` entity, backed by windows over a stored series instead of a whole frame.

Everything that Lumibot decides (which bar is visible, what a price is, when a request fails) is decided by Lumibot's
own code, inherited from `Data`. What is replaced is only where rows come from: a window that slides over the store.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from lumibot.entities import Asset, Data
from lumibot.entities.data import _intraday_bar_state
from lumibot.entities.dataline import Dataline
from lumibot.tools.helpers import parse_timestep_qty_and_unit

from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.windows.bar_rows import BarRows, Day, SharedRows, StoredRows
from lumibot_duckdb.windows.bar_table import BarTable
from lumibot_duckdb.windows.bucket_steps import BucketSteps, midnight, phase_of
from lumibot_duckdb.windows.bucketed_series import BucketedBars, BucketedSeries, can_be_bucketed
from lumibot_duckdb.windows.filled_series import (
    BAR_COLUMNS,
    PLAIN_DTYPES,
    FilledRows,
    FilledSeries,
    bar_columns,
)
from lumibot_duckdb.windows.series_view import SECOND, SeriesView
from lumibot_duckdb.windows.trading_index import NANOSECONDS, TradingIndex
from lumibot_duckdb.windows.window import MemoryBudget, SlidingWindow

NEVER = np.iinfo(np.int64).max


class WindowedData(Data):  # type: ignore[misc]  # Lumibot has no type information
    """Bars of one stored series for a backtest. Everywhere a `Data` goes, this goes.

    Parameters are those of `Data`, with what the backtest sees of a series in place of the frame. All windows of
    `budget` share its memory. `df` still answers with the full frame, read when it is asked for.
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
        self._view = view
        self._facts = view.facts
        if self._facts.rows == 0:
            raise ValueError(f"{view.label}: the series has no bars, so no backtest can use it")
        self._budget = budget if budget is not None else MemoryBudget()
        super().__init__(asset, self._first_and_last_bar(), timestep=timestep, quote=quote)
        self.__dict__.pop("_outline")
        self.strict_end_check = False
        self._lumibots_way = threading.RLock()  # `Data.get_bars` keeps its latest answer in two steps
        self._begins, self._ends = _nanoseconds(self.datetime_start), _nanoseconds(self.datetime_end)
        self._describe_columns()
        self._split_adjusted: bool | None = None
        self._bucketable = can_be_bucketed({column.name: column.dtype for column in self._facts.columns})
        self._lay_on(None)

    # -- what the whole series says --------------------------------------------------------------------------

    def _first_and_last_bar(self) -> pd.DataFrame:
        """Return the two bars from which `Data` learns the columns and the range of dates."""
        ends = [time for time in (self._facts.first, self._facts.last) if time is not None]
        dtypes = {column.name: column.dtype for column in self._facts.columns if column.name in BAR_COLUMNS}
        if ends and all(dtype in PLAIN_DTYPES for dtype in dtypes.values()):
            # `Data` looks at times and at the names of these columns only, so there is no need to read the two bars.
            outline = {name: np.ones(2, dtype=dtype) for name, dtype in dtypes.items()}
            outlined: pd.DataFrame = pd.DataFrame(outline, index=self._view.index_of(np.array(ends)))
            return outlined if ends[0] < ends[1] else outlined.head(1)
        frames = [self._view.frame(TimeRange(time, time + 1)) for time in sorted(set(ends))]
        both: pd.DataFrame = pd.concat(frames) if frames else self._view.frame(TimeRange(0, 0))
        return both

    def _describe_columns(self) -> None:
        """Set what `Data.__init__` finds out by looking at every value."""
        gaps = {column.name for column in self._facts.columns if column.has_nulls}
        self._ohlc_has_nan = any(name in gaps for name in ("open", "high", "low", "close"))
        self._volume_has_nan = "volume" in gaps
        self._dividend_has_nan = "dividend" in gaps
        self._stock_splits_has_nan = "stock_splits" in gaps

    # -- the time index --------------------------------------------------------------------------------------

    def index_outline(self, *, minutes_are_filled: bool) -> pd.DatetimeIndex:
        """Return times that make the same merged index as all bar times do.

        Where Lumibot fills every minute between the first and the last bar of a day, these two are enough.
        """
        whole = not minutes_are_filled or self.timestep != "minute"
        return self._view.index_of(self._view.times() if whole else np.unique(self._view.session_bounds()))

    def repair_times_and_fill(self, idx: pd.DatetimeIndex) -> None:
        """Lay the series on the backtest's time index, as `Data` does; rows are filled when they are read."""
        first = int(idx.searchsorted(self.datetime_start, side="left"))
        stop = int(idx.searchsorted(self.datetime_end, side="right"))
        self._lay_on(SharedRows(TradingIndex.of(idx), first, stop, self.timestep))

    def _lay_on(self, rows: BarRows | None) -> None:
        self._rows = rows
        self.iter_index_dict: dict[Any, int] | None = None  # `Data` lays itself on its own index when this is None
        self._located: tuple[dt.datetime, int, bool, int] | None = None
        if rows is None:
            return
        self._data_len = len(rows)
        self.iter_index_dict = {}
        self._series = FilledSeries(self._view, rows, self.asset, self.quote, self.timestep)
        self._window: SlidingWindow[FilledRows] = SlidingWindow(
            self._data_len, self._series.load, self._budget, self._series.row_bytes
        )
        self._whole: SlidingWindow[BarTable] | None = None
        self._buckets: dict[tuple[int, str, int], BucketedSeries] = {}
        self._latest_buckets: dict[tuple[int, str], tuple[Day, BucketedSeries]] = {}
        complete_from = self._view.complete_from
        self._complete_from = self._data_len if complete_from is None else rows.row_from(complete_from * SECOND)
        """Row from which on nothing has to be mended."""
        self._closed_bar_length_cache = (self._data_len, self.timestep, rows.bar_length)
        self._latest_bars: tuple[tuple[int, ...], pd.DataFrame] | None = None
        self._describe_filled_columns()

    def _describe_filled_columns(self) -> None:
        """Set the columns that `Data` has after filling, without the values."""
        names = self._series.filled_names()
        self._bars_cols = bar_columns(names)
        self.datalines = {"datetime": Dataline(self.asset, "datetime", _IndexLine(self), np.dtype(object))}
        for name in names:
            self.datalines[name] = Dataline(self.asset, name, _ColumnLine(self, name), None)
        self._quote_required_cols_present = all(
            name in self.datalines for name in ("open", "high", "low", "close", "volume")
        )
        self._quote_missing_cols = [
            name
            for side in ("bid", "ask")
            for name in (side, f"{side}_size", f"{side}_condition", f"{side}_exchange")
            if name not in self.datalines
        ]
        self._quote_presence_logged = False

    def _laid(self) -> BarRows:
        """Return the rows; a series that no backtest merged with others lies on its own bar times."""
        if self._rows is None:
            self._lay_on(StoredRows(self._view, self.timestep, self._budget))
        assert self._rows is not None
        return self._rows

    # -- the full frame, for code that asks for it ------------------------------------------------------------

    @property
    def df(self) -> pd.DataFrame:
        """The full frame, filled if the series lies on a backtest's index. Kept while the budget has room for it."""
        outline: pd.DataFrame | None = self.__dict__.get("_outline")
        if outline is not None:
            return outline
        if self._rows is None:
            return self._view.frame()
        if self._whole is None:
            self._whole = SlidingWindow(self._data_len, self._load_whole, self._budget, self._series.row_bytes)
        return self._whole.cover(0, self._data_len)[1].frame(0, self._data_len)

    @df.setter
    def df(self, frame: pd.DataFrame) -> None:
        if "_series" in self.__dict__:
            raise TypeError(
                f"the bars of {self._view.label} come from the store and cannot be replaced in a backtest; "
                "store the changed bars, or pass them as pandas_data"
            )
        # `Data.__init__` works on its frame; here that is an outline of two bars, wanted no longer than that.
        self.__dict__["_outline"] = frame

    def _load_whole(self, start: int, stop: int) -> BarTable:
        if self._series.has_every_column:
            return self._series.load(start, stop).table
        return BarTable.of_frame(self._series.load_whole(start, stop))

    def __getattr__(self, name: str) -> Any:
        # `Data` has each column as an attribute, too (`data.close`); here they are read when asked for.
        lines = self.__dict__.get("datalines", {})
        if name in lines:
            return np.asarray(lines[name].dataline)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def iter_index(self) -> pd.Series[int]:
        """Row numbers by bar time, as in `Data`."""
        rows: pd.Series[int] = pd.Series(np.arange(len(self._laid())), index=self._whole_index())
        return rows

    def _whole_index(self) -> pd.DatetimeIndex:
        """Return the index of all rows, for code that asks for it."""
        rows = self._laid()
        return rows.index(0, len(rows))

    # -- rows ------------------------------------------------------------------------------------------------

    def get_iter_count(self, dt: dt.datetime) -> int:
        """Return the row of the last bar at or before `dt`; -1 before the first."""
        return self._locate(dt)[1]

    def _locate(self, time: dt.datetime) -> tuple[dt.datetime, int, bool, int]:
        """Return `time`, the row of the last bar at or before it, whether it has closed, `time` in nanoseconds."""
        located = self._located
        if located is not None and located[0] == time:
            return located
        rows = self._rows or self._laid()
        nanoseconds = _nanoseconds(time)
        row = located[1] + 1 if located is not None else 0
        # Backtests mostly step from one bar to the next.
        if not (0 <= row < self._data_len - 1 and rows.time(row) <= nanoseconds < rows.time(row + 1)):
            row = rows.row_at(nanoseconds)
        length = rows.bar_length
        closed = row >= 0 and length is not None and rows.time(row) + length <= nanoseconds
        self._located = located = (time, row, closed, nanoseconds)
        return located

    def _intraday_state_at(self, iter_count: int, dt: dt.datetime) -> str | None:
        _, row, closed, _ = self._locate(dt)
        if row == iter_count and row >= 0 and self._laid().bar_length is not None:
            return "closed" if closed else "forming"
        index = self._whole_index()
        state: str | None = _intraday_bar_state(
            index.as_unit("ns").asi8, iter_count, dt, timestep=self.timestep, index_tz=index.tz, cache_owner=self
        )
        return state

    def _get_bars_row_bounds(self, dt: dt.datetime, length: int = 1, timeshift: Any = 0) -> tuple[int, int, int]:
        shift = timeshift if type(timeshift) is int else self._normalize_timeshift_to_rows(timeshift)
        _, row, closed, _ = self._locate(dt)
        seen = row + 1 if self.timestep == "day" or (closed and shift >= 0) else row
        stop = max(0, min(seen - shift, self._data_len))
        start = min(max(0, stop - int(length)), stop)
        if start == stop and stop > 0:
            start = stop - 1  # one bar for lengths of zero and below, as `Data` has it
        return start, stop, shift

    def _get_bars_frame_window(
        self, dt: dt.datetime, length: int = 1, timeshift: Any = 0
    ) -> tuple[pd.DataFrame | None, int, int, int]:
        start, stop, shift = self._get_bars_row_bounds(dt, length=length, timeshift=timeshift)
        if start >= stop:
            return None, start, stop, shift
        first, rows = self._window.cover(start, stop)
        return rows.bars.frame(start - first, stop - first), start, stop, shift

    def _get_frame_between_dates(
        self, start_date: Any = None, end_date: Any = None, bars_only: bool = False
    ) -> pd.DataFrame:
        stop = self.get_iter_count(end_date)
        start = max(0, self.get_iter_count(start_date))
        # Slicing a frame takes a negative stop as counted from the end.
        start, stop, _ = slice(start, stop).indices(self._data_len)
        stop = max(start, stop)
        if not bars_only:
            return self._rows_with_every_column(start, stop)
        first, rows = self._window.cover(start, stop)
        return rows.bars.frame(start - first, stop - first)

    def rows_of_day(self, time: dt.datetime) -> pd.DataFrame:
        """Return the filled rows of one calendar day (by the date of `time`), all columns."""
        date = pd.Timestamp(pd.Timestamp(time).date())
        rows, begin = self._laid(), date.value // NANOSECONDS["day"]
        frame = self._rows_with_every_column(rows.row_from(midnight(begin)), rows.row_from(midnight(begin + 1)))
        if "_split_adjusted" in frame.columns:
            frame["_split_adjusted"] = self._any_split_adjusted()
        return frame

    def _any_split_adjusted(self) -> bool:
        """Whether any row of the whole series is marked as adjusted, which Lumibot takes as said of all."""
        if self._split_adjusted is None:
            self._split_adjusted = bool(pd.Series(self.df["_split_adjusted"]).fillna(False).astype(bool).any())
        return self._split_adjusted

    def last_rows(self, time: dt.datetime, count: int) -> pd.DataFrame | None:
        """Return the `count` filled rows up to `time`, all columns; None if the series has fewer."""
        stop = self._laid().row_at(_nanoseconds(time)) + 1
        return None if stop < count else self._rows_with_every_column(stop - count, stop)

    def _rows_with_every_column(self, start: int, stop: int) -> pd.DataFrame:
        if not self._series.has_every_column:
            frame: pd.DataFrame = self._series.load_whole(start, stop).iloc[: stop - start]
            return frame
        first, rows = self._window.cover(start, stop)
        return rows.table.frame(start - first, stop - first)

    # -- bars ------------------------------------------------------------------------------------------------

    def get_bars(
        self, dt: dt.datetime, length: int = 1, timestep: str = Data.MIN_TIMESTEP, timeshift: Any = 0
    ) -> pd.DataFrame | None:
        """Return the last `length` bars of `timestep` visible at `dt`, as `Data.get_bars` does."""
        bars = self._bars(dt, length, timestep, timeshift)
        return bars.without_returns() if isinstance(bars, BucketedBars) else bars

    def bars_with_returns(self, dt: dt.datetime, length: int, timestep: str, timeshift: Any = 0) -> pd.DataFrame | None:
        """Return what `get_bars` does; where they are known, with the columns that Lumibot's `Bars` would add."""
        bars = self._bars(dt, length, timestep, timeshift)
        return bars.frame() if isinstance(bars, BucketedBars) else bars

    def _bars(self, dt: dt.datetime, length: int, timestep: str, timeshift: Any) -> pd.DataFrame | BucketedBars | None:
        """Answer from a window where that is plainly what `Data.get_bars` would do; else let it do it."""
        quantity, unit = parse_timestep_qty_and_unit(timestep)
        answer: pd.DataFrame | BucketedBars | None = None
        if quantity == 1 and unit == self.timestep:
            answered, answer = self._own_bars(dt, length, timeshift)
            if answered:
                return answer
        elif self._bucketable and (self.timestep, unit) in ROWS_A_BAR:
            answer = self._bucketed_bars(dt, length, quantity, unit, timeshift)
        if answer is None:
            with self._lumibots_way:
                answer = super().get_bars(dt, length=length, timestep=timestep, timeshift=timeshift)
        return answer

    def _own_bars(self, dt: dt.datetime, length: int, timeshift: Any) -> tuple[bool, pd.DataFrame | None]:
        """Return bars of the series' own step. While nothing changed, the same frame, as `Data` does.

        First, whether that is an answer: rows of which some may have to be mended are left to `Data`.
        """
        start, stop, shift = self._get_bars_row_bounds(dt, length, timeshift)
        if start >= stop:
            return True, None
        if start < self._complete_from:
            return False, None
        key = (int(length), shift, start, stop)
        latest = self._latest_bars
        if latest is not None and latest[0] == key:
            return True, latest[1]
        first, rows = self._window.cover(start, stop)
        bars = rows.bars.frame(start - first, stop - first)
        self._latest_bars = (key, bars)
        return True, bars

    def _bucketed_bars(
        self, dt: dt.datetime, length: int, quantity: int, unit: str, timeshift: Any
    ) -> BucketedBars | None:
        """Answer a request for larger bars from buckets; None where Lumibot's own code has to."""
        if not self._is_plain_request(dt, length, quantity):
            return None
        rows = length * ROWS_A_BAR[self.timestep, unit] * (quantity if unit != "day" else 1)
        start, stop, _ = self._get_bars_row_bounds(dt, rows, timeshift)
        if start >= stop:
            return None
        series = self._bucketed_series(quantity, unit, start)
        return series.bars((start, stop), self._labels_until(dt, quantity, unit, stop), length)

    def _is_plain_request(self, dt: dt.datetime, length: Any, quantity: int) -> bool:
        """Whether the request is one that `Data` neither refuses nor warns of."""
        return (
            type(length) is int
            and length > 0
            and quantity > 0
            and self._begins <= self._locate(dt)[3] <= self._ends
            and not self.strict_end_check
        )

    def _bucketed_series(self, quantity: int, unit: str, start: int) -> BucketedSeries:
        """Return the buckets for requests that look back to row `start`; the same for a whole day of rows."""
        rows = self._laid()
        latest = self._latest_buckets.get((quantity, unit))
        if latest is not None and latest[0].first <= start < latest[0].stop:
            return latest[1]
        phase = phase_of(rows, start, quantity, unit)
        series = self._buckets.get((quantity, unit, phase))
        if series is None:
            steps = BucketSteps(quantity, unit, phase)
            series = BucketedSeries(self._series, steps, self._budget, gaps=self._ohlc_has_nan)
            self._buckets[quantity, unit, phase] = series
        self._latest_buckets[quantity, unit] = (rows.day(start), series)
        return series

    def _labels_until(self, dt: dt.datetime, quantity: int, unit: str, stop: int) -> int:
        """Return the time (ns) before which a larger bar must be labelled to be complete, by `Data.get_bars`."""
        if unit == "day":
            if self.timestep == "day":
                return NEVER
            return _nanoseconds(dt.replace(hour=0, minute=0, second=0, microsecond=0))
        requested, base = quantity * NANOSECONDS[unit], NANOSECONDS[self.timestep]
        if requested <= base:
            return NEVER
        return self._laid().time(stop - 1) + base - requested + 1


ROWS_A_BAR = {
    ("minute", "minute"): 1,
    ("minute", "hour"): 60,
    ("minute", "day"): 1440,
    ("hour", "hour"): 1,
    ("hour", "day"): 24,
    ("day", "day"): 1,
}
"""Rows that `Data.get_bars` looks back on for one larger bar, by the series' step and the requested unit."""


class _ColumnLine:
    """A column as `Data.datalines` has it: an array of all rows, of which only the ones asked for are read."""

    def __init__(self, data: WindowedData, name: str) -> None:
        self._data = data
        self._name = name

    def __len__(self) -> int:
        return self._data._data_len

    def __getitem__(self, rows: Any) -> Any:
        data = self._data
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return np.asarray(self)[rows]
            if not self._is_in_windows():
                return data._rows_with_every_column(start, max(start, stop))[self._name].to_numpy()
            first, loaded = data._window.cover(start, max(start, stop))
            return loaded.table.columns[self._name][start - first : max(start, stop) - first]
        row = int(rows)
        if row < 0:
            row += len(self)
        if not 0 <= row < len(self):
            raise IndexError(f"row {rows} is outside of the {len(self)} rows of {data._view.label}")
        if not self._is_in_windows():
            return data._rows_with_every_column(row, row + 1)[self._name].to_numpy()[0]
        first, loaded = data._window.cover(row, row + 1)
        return loaded.table.columns[self._name][row - first]

    def _is_in_windows(self) -> bool:
        return self._data._series.has_every_column or self._name in BAR_COLUMNS

    def __iter__(self) -> Iterator[Any]:
        return iter(np.asarray(self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        values: np.ndarray[Any, Any] = self._data.df[self._name].to_numpy()
        return values if dtype is None else values.astype(dtype)


class _IndexLine:
    """The time index as `Data.datalines` has it: an array of `Timestamp`, made when asked for."""

    def __init__(self, data: WindowedData) -> None:
        self._data = data

    def __len__(self) -> int:
        return self._data._data_len

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            return self._data._laid().index(start, max(start, stop))[::step].to_numpy()
        row = int(rows) + (len(self) if rows < 0 else 0)
        if not 0 <= row < len(self):
            raise IndexError(f"row {rows} is outside of the {len(self)} rows of {self._data._view.label}")
        return self._data._laid().index(row, row + 1)[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._data._whole_index())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        times: np.ndarray[Any, Any] = self._data._whole_index().to_numpy()
        return times if dtype is None else times.astype(dtype)


def _nanoseconds(time: dt.datetime) -> int:
    """Return nanoseconds since 1970, UTC."""
    return time.value if isinstance(time, pd.Timestamp) else int(time.timestamp() * 1_000_000_000)
