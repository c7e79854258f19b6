"""Frames as Lumibot's Alpaca source has them: minutes and days on the trading calendar, all other bars unfilled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import pandas as pd
from lumibot.entities import Asset
from lumibot.tools.helpers import get_trading_days

from lumibot_duckdb.sources.shared.downloaded_series import DownloadedSeries
from lumibot_duckdb.storage.api import BarArrays, TimeRange
from lumibot_duckdb.storage.times import (
    NANOSECONDS_PER_SECOND,
    SECONDS_PER_DAY,
    Int64Array,
    epoch_nanoseconds,
    moment_of,
)
from lumibot_duckdb.windows.bar_table import BarTable
from lumibot_duckdb.windows.calendar_frames import (
    COLUMNS,
    NO_ROWS,
    CalendarFrames,
    CalendarRows,
    index_of,
    minutes_of,
    runs_of,
)
from lumibot_duckdb.windows.framed_series import Shape, rows_of_bars
from lumibot_duckdb.windows.series_view import SeriesView
from lumibot_duckdb.windows.series_with_returns import SeriesWithReturns
from lumibot_duckdb.windows.window import MemoryBudget

_MINUTE = 60


@dataclass(frozen=True)
class Frame:
    """What identifies one of Lumibot's frames: an asset, a timestep, a window, a zone, and whether it is adjusted."""

    asset: Asset
    quote: Asset
    timestep: str
    zone: tzinfo
    start: datetime
    end: datetime
    adjusted: bool


@dataclass(frozen=True)
class RequestedBars:
    """What Lumibot would request from Alpaca: a kind ("stock", "crypto", "option"), a symbol and a range."""

    kind: str
    symbol: str
    within: TimeRange


class FrameBuilder:
    """Builds the frames of a backtest from stored bars.

    Parameters:
        budget: bounds the memory of all frames together.
        market: the market whose calendar frames are laid on.
        zone: the time zone of the backtest.
        trading_days: the market's schedule for the backtest's window.
    """

    def __init__(self, budget: MemoryBudget, market: str, zone: tzinfo, trading_days: pd.DataFrame) -> None:
        self._budget = budget
        self._market = market
        self._zone = zone
        self._trading_days = trading_days
        self._minutes: Int64Array | None = None

    def build(
        self, frame: Frame, series: DownloadedSeries, requested: RequestedBars, since: datetime
    ) -> SeriesWithReturns:
        """Return the frame of the bars of a window, and of those from `since` to its start."""
        start, end = first_second(frame.start), last_second(frame.end)
        bars = TimeRange(min(first_second(since), requested.within.start), requested.within.end)
        if requested.kind == "option" or frame.timestep not in ("day", "minute"):
            seen = TimeRange(bars.start, max(bars.start, min(bars.end, end + 1)))
            shape = Shape(COLUMNS, COLUMNS, dict, index=lambda seconds: index_of(seconds, frame.zone))
            return SeriesWithReturns(*rows_of_bars(_view(series, seen), shape), self._budget, columns=COLUMNS)
        if frame.timestep == "minute":
            return self._on_minutes(frame, series, bars, start, end)
        return self._on_days(frame, series, bars, start, end)

    def shown_ranges(self, frame: Frame, days: pd.DataFrame | None = None, *, option: bool) -> list[TimeRange]:
        """Return the ranges whose bars a frame shows: of minutes those of the trading days, else its whole window.

        Lumibot requests more: bars outside of the sessions, and the day after the end.
        """
        start, stop = first_second(frame.start), last_second(frame.end) + 1
        if frame.timestep != "minute" or option:
            return [TimeRange(start, stop)]
        minutes = minutes_of(self._trading_days if days is None else days)
        minutes = minutes[(minutes >= start) & (minutes < stop)]
        return [TimeRange(first, last + _MINUTE) for first, last in runs_of(minutes, _MINUTE)]

    def trading_days(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Return the market's schedule from one moment to a day after another."""
        days: pd.DataFrame = get_trading_days(self._market, start, end + timedelta(days=1), tzinfo=self._zone)
        return days

    def of_frame(self, frame: pd.DataFrame) -> SeriesWithReturns:
        """Return a frame that is in memory as a series."""
        index = pd.DatetimeIndex(frame.index)
        rows = CalendarRows(NO_ROWS, index.as_unit("s").asi8, index.tz)

        def load(start: int, stop: int) -> BarTable:
            return BarTable.of_frame(frame.iloc[start:stop])

        return SeriesWithReturns(rows, load, self._budget, columns=list(frame.columns))

    def _on_days(
        self, frame: Frame, series: DownloadedSeries, bars: TimeRange, start: int, end: int
    ) -> SeriesWithReturns:
        view = _view(series, bars)
        times = view.times()
        window = times[times >= start]
        opens = pd.DatetimeIndex(self._trading_days["market_open"]).as_unit("s").asi8
        without_bar = np.setdiff1d(_local_days(opens, frame.zone), _local_days(window, frame.zone))
        grid = np.union1d(window, _midnights(without_bar, frame.zone))
        rows = CalendarRows(times[times < start], grid[(grid >= start) & (grid <= end)], frame.zone)
        return CalendarFrames(rows, view.bars, grid).series(self._budget)

    def _on_minutes(
        self, frame: Frame, series: DownloadedSeries, bars: TimeRange, start: int, end: int
    ) -> SeriesWithReturns:
        pin, storage = series.pin, series.storage
        assert pin is not None
        if self._minutes is None:
            self._minutes = minutes_of(self._trading_days)
        minutes = self._minutes
        if not len(minutes):
            # Of Lumibot's type, which compares times with and without a zone then.
            raise TypeError(f"the market {self._market} is not open between {frame.start} and {frame.end}")
        history = NO_ROWS
        if bars.start < start:
            found = storage.read_bars(pin, TimeRange(bars.start, start), (), remember=False).times
            days = self.trading_days(moment_of(bars.start, self._zone), frame.start)
            history = found[np.isin(found, minutes_of(days), assume_unique=True)]

        def read(within: TimeRange, columns: Any) -> BarArrays:
            low, high = max(within.start, bars.start), min(within.end, bars.end)
            return storage.read_bars(pin, TimeRange(low, max(low, high)), columns, remember=False)

        first, stop = minutes.searchsorted((start, end + 1))
        begin, cut = minutes.searchsorted((start, bars.end))
        rows = CalendarRows(history, minutes[first:stop], frame.zone)
        return CalendarFrames(rows, read, minutes[begin:cut]).series(self._budget)


def first_second(moment: datetime) -> int:
    """Return the first whole epoch second at or after a moment."""
    return -(-epoch_nanoseconds(moment) // NANOSECONDS_PER_SECOND)


def last_second(moment: datetime) -> int:
    """Return the last whole epoch second at or before a moment."""
    return epoch_nanoseconds(moment) // NANOSECONDS_PER_SECOND


def _view(series: DownloadedSeries, within: TimeRange) -> SeriesView:
    """Return the bars of a range of a series that has a version, including those that have not closed."""
    view = series.view(within)
    assert view is not None
    return view


def _local_days(seconds: Int64Array, zone: tzinfo) -> Int64Array:
    """Return the local days of moments, as days since 1970."""
    local = index_of(seconds, zone).tz_localize(None)
    days: Int64Array = local.as_unit("s").asi8 // SECONDS_PER_DAY
    return days


def _midnights(days: Int64Array, zone: tzinfo) -> Int64Array:
    """Return the epoch seconds at which local days (days since 1970) begin."""
    midnights = pd.DatetimeIndex(days * (SECONDS_PER_DAY * NANOSECONDS_PER_SECOND)).tz_localize(zone)
    seconds: Int64Array = midnights.as_unit("s").asi8
    return seconds
