"""Lumibot's `Data` without a frame: its private hooks under public names, for bars that are read when they are used."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from lumibot.constants import LUMIBOT_DEFAULT_PYTZ
from lumibot.entities import Asset, Data
from lumibot.entities.dataline import Dataline

BarState: TypeAlias = Literal["closed", "forming"]

SPLIT_ADJUSTED_COLUMN = "_split_adjusted"
"""The column in which Lumibot's downloads mark prices as already adjusted for splits."""

_PRICES = ("open", "high", "low", "close")
_QUOTE_COLUMNS = tuple(
    name for side in ("bid", "ask") for name in (side, f"{side}_size", f"{side}_condition", f"{side}_exchange")
)


_LAST_MINUTE = dt.time(23, 59)
"""The time of day after which `Data` leaves out bars of less than a day."""

_CONSTRUCTED: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
"""The attributes of a constructed `Data` by its timestep and its columns."""


@cache
def _attributes() -> frozenset[str]:
    """Return the names of the attributes that the constructor of `Data` sets."""
    bar = pd.DataFrame({name: [1.0] for name in (*_PRICES, "volume")}, index=pd.DatetimeIndex(["2000-01-03"]))
    return frozenset(vars(Data(Asset("ANY"), bar)))


def is_as_constructed(data: Data) -> bool:
    """Return whether a `Data` has the attributes that its constructor sets and no others, such as filled columns."""
    return frozenset(vars(data)) == _attributes()


def take_frame(data: Data, kind: type[FramelessData]) -> pd.DataFrame:
    """Turn a `Data` into a frameless one of `kind`, in place, and return its frame."""
    frame: pd.DataFrame = vars(data).pop("df")
    data.__class__ = kind
    data.strict_end_check = False
    return frame


def give_back(data: Data, frame: pd.DataFrame) -> None:
    """Turn a frameless `Data` into an ordinary one with a frame, in place, as its constructor left it."""
    data.__class__ = Data
    for name in vars(data).keys() - _attributes():
        if name.startswith("_") or name == "datalines":
            delattr(data, name)
    data.df = frame


class FramelessData(Data, ABC):  # type: ignore[misc]  # Lumibot has no type information
    """Base class for a `Data` whose bars are not in one frame. Lumibot's inherited code decides what a strategy sees.

    A subclass numbers its rows from 0 and answers for them through the abstract methods below, which Lumibot's private
    hooks call. Before rows are used it calls `describe_rows`.

    Parameters:
        asset: the asset of the bars.
        ends: the starts of the first and the last bar (one if they are the same), from which `Data` learns the dates.
        columns: the columns.
        outline: returns a frame with these columns and bars, for the constructor of `Data`.
        columns_with_gaps: names of the columns in which some stored value is missing.
        timestep: "minute", "hour" or "day".
        quote: the asset that prices are in.
    """

    def __init__(
        self,
        asset: Asset,
        ends: pd.DatetimeIndex,
        columns: Sequence[str],
        outline: Callable[[], pd.DataFrame],
        columns_with_gaps: Collection[str],
        *,
        timestep: str,
        quote: Asset | None,
    ) -> None:
        self._construct(asset, ends, (timestep, tuple(columns)), outline, quote)
        self.strict_end_check = False
        self._ohlc_has_nan = any(name in columns_with_gaps for name in _PRICES)
        self._volume_has_nan = "volume" in columns_with_gaps
        self._dividend_has_nan = "dividend" in columns_with_gaps
        self._stock_splits_has_nan = "stock_splits" in columns_with_gaps

    def _construct(
        self,
        asset: Asset,
        ends: pd.DatetimeIndex,
        kind: tuple[str, tuple[str, ...]],
        outline: Callable[[], pd.DataFrame],
        quote: Asset | None,
    ) -> None:
        """Set the attributes that the constructor of `Data` sets.

        It takes milliseconds. So it is called once for each timestep and columns, and its attributes are used again for
        other assets, unless it might refuse the asset or leave out one of the two bars.
        """
        first, last = ends[0], ends[-1]
        known = _CONSTRUCTED.get(kind)
        plain = (
            (isinstance(quote, Asset) or (quote is None and asset.asset_type != "crypto"))
            and ends.tz is LUMIBOT_DEFAULT_PYTZ
            and all(end.time() <= _LAST_MINUTE for end in (first, last))
        )
        if known is None or not plain:
            self._outline: pd.DataFrame = outline()  # until the end of the constructor, which works on its frame
            super().__init__(asset, self._outline, timestep=kind[0], quote=quote)
            del self._outline
            if plain:
                _CONSTRUCTED[kind] = dict(vars(self))
            return
        self.__dict__.update(
            {name: value.copy() if isinstance(value, list) else value for name, value in known.items()}
        )
        self.asset, self.symbol, self.quote = asset, asset.symbol, quote
        self.date_start, self.date_end = self.set_dates(first, last)
        self.datetime_start, self.datetime_end = first.to_pydatetime(), last.to_pydatetime()
        self._data_len = len(ends)

    # -- what a subclass provides ----------------------------------------------------------------------------

    @abstractmethod
    def whole_frame(self) -> pd.DataFrame:
        """Return all rows with every column, for code that reads `df`."""

    @abstractmethod
    def align(self) -> None:
        """Number the rows by the series' own bars, unless they are numbered already."""

    @abstractmethod
    def row_at(self, time: dt.datetime) -> int:
        """Return the row of the last bar at or before `time`; -1 before the first."""

    @abstractmethod
    def bar_state(self, row: int, time: dt.datetime) -> BarState | None:
        """Return whether the intraday bar of `row` has closed at `time`; None unless it is the last one by then."""

    @abstractmethod
    def visible_rows(self, time: dt.datetime, length: int, shift: int) -> tuple[int, int]:
        """Return the rows `[start, stop)` of the last `length` bars that a strategy sees at `time`, `shift` earlier."""

    @abstractmethod
    def bars_in_rows(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)` with the columns that a request for bars returns."""

    @abstractmethod
    def rows_between(self, start: dt.datetime, end: dt.datetime, *, bars_only: bool) -> pd.DataFrame:
        """Return the rows from the bar at `start` to the one before the bar at `end`."""

    def describe_rows(
        self, count: int, datetimes: Sequence[Any], columns: Sequence[str], column: Callable[[str], Sequence[Any]]
    ) -> None:
        """Describe the rows to Lumibot: how many there are, their times, their columns, and the values of each."""
        self._data_len = count
        self.datalines = {"datetime": Dataline(self.asset, "datetime", datetimes, np.dtype(object))}
        for name in columns:
            self.datalines[name] = Dataline(self.asset, name, column(name), None)
        self._quote_required_cols_present = all(name in self.datalines for name in (*_PRICES, "volume"))
        self._quote_missing_cols = [name for name in _QUOTE_COLUMNS if name not in self.datalines]
        self._quote_presence_logged = False

    @property
    def prices_may_be_missing(self) -> bool:
        """Whether some bar lacks a price."""
        return bool(self._ohlc_has_nan)

    def shift_in_rows(self, timeshift: Any) -> int:
        """Return a time shift (None, a number of rows, or a timedelta) as a number of rows."""
        shift: int = self._normalize_timeshift_to_rows(timeshift)
        return shift

    # -- what Lumibot calls ----------------------------------------------------------------------------------

    @property
    def df(self) -> pd.DataFrame:
        """All rows with every column; filled once they are aligned with a backtest's index."""
        return self._outline if "_outline" in self.__dict__ else self.whole_frame()

    @df.setter
    def df(self, frame: pd.DataFrame) -> None:
        if "_outline" not in self.__dict__:
            raise TypeError(
                f"the bars of {self.asset} come from the store and cannot be replaced in a backtest; "
                "store the changed bars, or pass them as pandas_data"
            )
        self._outline = frame

    @property
    def iter_index_dict(self) -> dict[Any, int]:
        """Rows by time: none, so that `Data` calls `get_iter_count`. `Data` aligns itself where this is None."""
        self.align()
        return {}

    def get_iter_count(self, dt: dt.datetime) -> int:
        """Return the row of the last bar at or before `dt`; -1 before the first."""
        return self.row_at(dt)

    def _intraday_state_at(self, iter_count: int, dt: dt.datetime) -> BarState | None:
        return self.bar_state(iter_count, dt)

    def _get_bars_row_bounds(self, dt: dt.datetime, length: int = 1, timeshift: Any = 0) -> tuple[int, int, int]:
        shift = self.shift_in_rows(timeshift)
        return (*self.visible_rows(dt, length, shift), shift)

    def _get_bars_frame_window(
        self, dt: dt.datetime, length: int = 1, timeshift: Any = 0
    ) -> tuple[pd.DataFrame | None, int, int, int]:
        start, stop, shift = self._get_bars_row_bounds(dt, length, timeshift)
        return (self.bars_in_rows(start, stop) if start < stop else None), start, stop, shift

    def _get_frame_between_dates(
        self, start_date: Any = None, end_date: Any = None, bars_only: bool = False
    ) -> pd.DataFrame:
        return self.rows_between(start_date, end_date, bars_only=bars_only)
