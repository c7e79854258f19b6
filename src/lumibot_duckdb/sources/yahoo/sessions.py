"""When Yahoo's markets trade, and at which time of the day Lumibot stamps their bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from lumibot.constants import LUMIBOT_DEFAULT_PYTZ

from lumibot_duckdb.sources.shared.trading_hours import NEW_YORK_HOURS, SATURDAY, SUNDAY, DailyHours, TradingHours
from lumibot_duckdb.sources.yahoo.client import Market
from lumibot_duckdb.storage.api import EpochSeconds, TimeRange
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.framed_series import RowTimes

NEW_YORK = "America/New_York"
_DAY = 86_400
_MINUTE = 60 * NANOSECONDS_PER_SECOND
_EVERY_DAY = ("ccc_market",)
_SUNDAY_TOO = ("us24_market", "ccy_market")
"""Futures and currencies, which start trading on Sunday evening."""

_SUNDAY_ZONES = ("Asia/Jerusalem", "Asia/Riyadh", "Asia/Kuwait", "Asia/Qatar", "Africa/Cairo")


def hours_of_market(market: Market, zone: str) -> TradingHours:
    """Return when a market is open whose days are counted in `zone`.

    US stocks follow New York's calendar. For other markets, whose holidays are not known here, every weekday counts.
    """
    if market.name == "us_market":
        return NEW_YORK_HOURS
    if market.name in _EVERY_DAY:
        return DailyHours(ZoneInfo(zone))
    if market.name in _SUNDAY_TOO or zone in _SUNDAY_ZONES:
        return DailyHours(ZoneInfo(zone), closed=(SATURDAY,))
    return DailyHours(ZoneInfo(zone), closed=(SATURDAY, SUNDAY))


def may_have_traded(market: Market, zone: str, start: EpochSeconds, end: EpochSeconds) -> bool:
    """Return whether there may be bars in a range of time, in a market whose days are counted in `zone`."""
    return start < end and hours_of_market(market, zone).is_open(TimeRange(start, end))


@dataclass(frozen=True)
class Stamps:
    """The times that Lumibot gives to bars: the same for all bars of a day, `minute` minutes after midnight in `zone`.

    This applies to bars of every length, and their seconds are kept. Without a zone, bars keep their starts.
    """

    zone: str = ""
    minute: int = 0

    @classmethod
    def of(cls, market: Market) -> Stamps:
        """Return how the bars of a market are stamped: at the end of the session for US markets and crypto."""
        minutes = {"us_market": 16 * 60, "ccc_market": 23 * 60 + 59}
        return cls(market.zone, minutes[market.name]) if market.name in minutes and market.zone else cls()

    def stamped(self, times: Int64Array) -> Int64Array:
        """Return the stamps of bars (seconds, UTC), given their starts."""
        if not self.zone:
            return times
        local = pd.DatetimeIndex(times * NANOSECONDS_PER_SECOND, tz="UTC").tz_convert(self.zone).tz_localize(None)
        stamps = local.normalize() + pd.Timedelta(minutes=self.minute) + pd.to_timedelta(local.second, unit="s")
        first_of_two = np.ones(len(stamps), dtype=bool)
        there = stamps.tz_localize(self.zone, ambiguous=first_of_two, nonexistent="shift_forward")
        found: Int64Array = there.tz_convert("UTC").as_unit("s").asi8
        return found

    def day_of(self, time: int) -> tuple[int, int, int]:
        """Return the midnight, the first stamp and the next midnight (ns, UTC) of the day of a time (ns)."""
        seconds = time // NANOSECONDS_PER_SECOND
        midnight, stamp, following = _day(self.zone, self.minute, seconds)
        return midnight * NANOSECONDS_PER_SECOND, stamp * NANOSECONDS_PER_SECOND, following * NANOSECONDS_PER_SECOND


@lru_cache(maxsize=64)
def stamped_index(stamps: Stamps, times: bytes, name: str, unit: str) -> pd.DatetimeIndex:
    """Return the index of a frame; symbols with the same bar times share one object."""
    stamped = stamps.stamped(np.frombuffer(times, dtype=np.int64))
    index = pd.DatetimeIndex(stamped * NANOSECONDS_PER_SECOND, tz="UTC", name=name).as_unit(unit)
    local: pd.DatetimeIndex = index.tz_convert(LUMIBOT_DEFAULT_PYTZ)
    return local


@lru_cache(maxsize=1024)
def _day(zone: str, minute: int, seconds: EpochSeconds) -> tuple[int, int, int]:
    there = ZoneInfo(zone)
    day = datetime.fromtimestamp(seconds, there).replace(hour=0, minute=0, second=0, microsecond=0)
    stamp = day.replace(hour=minute // 60, minute=minute % 60)
    return int(day.timestamp()), int(stamp.timestamp()), int((day + timedelta(days=1)).timestamp())


class RowStarts(RowTimes, Protocol):
    """Numbered rows and their times, each of which can be read."""

    def time(self, row: int) -> int:
        """Return the time of one row."""


class StampedRows:
    """Finds rows of a series by the stamps of their bars (ns, UTC), which may be the same for all bars of a day.

    Parameters:
        rows: finds the same rows by the starts of their bars.
        stamps: how the bars are stamped.
        index_of: returns the index of the frames for starts (seconds, UTC).
    """

    def __init__(self, rows: RowStarts, stamps: Stamps, index_of: Callable[[Int64Array], pd.DatetimeIndex]) -> None:
        self._rows = rows
        self._stamps = stamps
        self._index_of = index_of
        self._rest_of_day = (0, 0, 0)  # from when to when (ns, UTC) no bar is stamped, and the row that follows

    def __len__(self) -> int:
        return len(self._rows)

    def row_at(self, time: int) -> int:
        """Return the last row stamped at or before a time; -1 before the first."""
        return self.row_from(time + 1) - 1

    def row_from(self, time: int) -> int:
        """Return the first row stamped at or after a time; `len(self)` past the last."""
        if not self._stamps.zone:
            return self._rows.row_from(time)
        begin, end, following_row = self._rest_of_day
        if begin <= time < end:  # a daily backtest looks several times for the bars of the day before
            return following_row
        midnight, stamp, following = self._stamps.day_of(time)
        if time <= stamp:
            return self._rows.row_from(midnight)
        after = self._rows.row_from(following)
        if time >= stamp + _MINUTE:
            self._rest_of_day = (stamp + _MINUTE, following, after)
            return after
        first = self._rows.row_from(midnight)
        seconds = self._rows.index(first, after).as_unit("ns").asi8 % _MINUTE  # stamps keep the seconds of starts
        return first + int((stamp + seconds).searchsorted(time, side="left"))

    def start(self, row: int) -> EpochSeconds:
        """Return when the bar of a row begins."""
        return self._rows.time(row) // NANOSECONDS_PER_SECOND

    def index(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return rows `[start, stop)` of the frames' index."""
        starts: Int64Array = self._rows.index(start, stop).as_unit("s").asi8
        return self._index_of(starts)
