"""Infers from the rows of a Polygon cache file which days were downloaded, were empty, or were incomplete.

Lumibot requests all days from one trading day to another, and then marks each trading day that has no row. So a trading
day without a row was not requested, and a weekend between two days with rows was requested, or is empty anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.sources.shared.days import DaySpan
from lumibot_duckdb.sources.shared.trading_hours import NEW_YORK_HOURS
from lumibot_duckdb.storage.times import NEW_YORK, moment_of

_DAY = timedelta(days=1)
_SATURDAY, _FRIDAY = 5, 4
_LONGEST_ANSWER = timedelta(days=30)
"""Lumibot requests at most a month at a time, and a request fails or succeeds as a whole."""

_USUAL_CLOSE = 16
_NEIGHBOURS = 4
_MORE_BARS = {"minute": 20, "hour": 3}
"""A day was incomplete if all its neighbours have this many bars after the time of its last bar."""


@dataclass(frozen=True)
class Answer:
    """A span of days that Polygon answered for, with bars or without any."""

    days: DaySpan
    has_bars: bool


class TradingDays:
    """The days on which an asset type is traded."""

    def __init__(self, asset_type: str) -> None:
        self._type = asset_type

    def lie_between(self, first: date, last: date) -> bool:
        """Return whether there is a trading day between two days."""
        between = [first + number * _DAY for number in range(1, (last - first).days)]
        if self._type == "crypto":
            return bool(between)
        if self._type == "forex":  # traded on Sundays, which are in no calendar
            return any(day.weekday() != _SATURDAY for day in between)
        return any(NEW_YORK_HOURS.sessions(day, day) for day in between)

    def ends_early(self, day: date) -> bool:
        """Return whether a day always has fewer bars in the evening than other days."""
        if self._type == "forex":
            return day.weekday() == _FRIDAY
        return self._type != "crypto" and not any(
            moment_of(closes, NEW_YORK).hour >= _USUAL_CLOSE for _, closes in NEW_YORK_HOURS.sessions(day, day)
        )


def answers(
    with_bars: Collection[date], without: Collection[date], trading: TradingDays, *, often_empty: bool
) -> list[Answer]:
    """Return the spans that Polygon answered for, in order, each as long as possible.

    With `often_empty` (options), empty days between days with bars belong to the same answer. Other empty days are
    separate answers, because a failed request leaves the same marks.
    """
    days = sorted({*with_bars, *without})
    if often_empty:
        with_bars = {*with_bars, *_between_bars(sorted(with_bars), without)}
    found: list[Answer] = []
    for number, day in enumerate(days):
        has_bars = day in with_bars
        if found and not trading.lie_between(days[number - 1], day):
            last = found[-1]
            if last.has_bars == has_bars:
                found[-1] = Answer(DaySpan(last.days.first, day), has_bars)
                continue
            found[-1] = Answer(DaySpan(last.days.first, day - _DAY), last.has_bars)
        found.append(Answer(DaySpan(day, day), has_bars))
    return found


def _between_bars(with_bars: Sequence[date], without: Collection[date]) -> list[date]:
    return [
        day
        for before, after in pairwise(with_bars)
        if after - before <= _LONGEST_ANSWER
        for day in without
        if before < day < after
    ]


def incomplete_days(times: pd.DatetimeIndex, timeframe: str, trading: TradingDays) -> set[date]:
    """Return the days that were not over when they were downloaded, as far as intraday bars show it.

    `times` are sorted bar starts in the time zone in which days are counted. A day is incomplete if all its neighbours
    have many bars after the time of its last bar. Days with few trades are never taken for incomplete.
    """
    least = _MORE_BARS.get(timeframe)
    if least is None or not len(times):
        return set()
    midnights = times.normalize()
    seconds = ((times - midnights) // pd.Timedelta(1, "s")).to_numpy()
    days, begins = np.unique(midnights.tz_localize(None).to_numpy(), return_index=True)
    ends = [*begins[1:], len(times)]
    dates: list[date] = days.astype("M8[D]").tolist()
    whole = [number for number, day in enumerate(dates) if not trading.ends_early(day)]
    found = set()
    for place, number in enumerate(whole):
        around = [*whole[max(0, place - _NEIGHBOURS) : place], *whole[place + 1 : place + 1 + _NEIGHBOURS]]
        last = seconds[ends[number] - 1]
        if len(around) >= _NEIGHBOURS - 1 and all(
            _after(seconds[begins[other] : ends[other]], last) >= least for other in around
        ):
            found.add(dates[number])
    return found


def _after(seconds: np.ndarray[Any, Any], moment: int) -> int:
    return len(seconds) - int(np.searchsorted(seconds, moment, side="right"))
