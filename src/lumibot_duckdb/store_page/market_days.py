"""The trading days of markets, and on which of them a series has bars, has none, or was not requested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.sources.shared.trading_hours import SUNDAY, ContractHours, TradingHours, hours_of
from lumibot_duckdb.storage.api import AssetKey, SeriesInfo, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.bars.outline import Days, midnights
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array, date_of, midnight

Mask: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"

NOT_REQUESTED, BARS, GAP, PROVISIONAL = b"nbgp"
"""States of a day: it is not (wholly) covered and has no bars; it has bars; it is covered and has none; the same, but
the coverage expires."""

_FIRST, _LAST = date(1900, 1, 1), date(2100, 1, 1)
"""No calendar is asked about other days."""
_DAY = timedelta(days=1)
_SHORT_SESSION = 4 * 3_600
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class MarketDays:
    """The trading days of a market, as parallel arrays that are sorted.

    Attributes:
        numbers: the days, counted from 1970.
        start: when a bar of the day may start at the earliest.
        end: after when no bar of the day starts.
    """

    numbers: Int64Array
    start: Int64Array
    end: Int64Array

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class SeriesDays:
    """The states of consecutive trading days of a series. `begin` is the place of the first among those of the market.

    Trading days before and after were neither requested nor have bars.
    """

    begin: int
    states: np.ndarray[Any, np.dtype[np.uint8]]

    def count(self, state: int) -> int:
        """Return how many days have a state."""
        return int(np.count_nonzero(self.states == state))

    def runs(self) -> str:
        """Return the states as runs: "b250gb3" is 250 days with bars, one without, and three with bars."""
        states = self.states
        if not len(states):
            return ""
        starts = np.flatnonzero(np.append(True, states[1:] != states[:-1]))
        lengths = np.diff(np.append(starts, len(states)))
        return "".join(
            chr(state) if length == 1 else f"{chr(state)}{length}"
            for state, length in zip(states[starts].tolist(), lengths.tolist(), strict=True)
        )


def market_of(asset: AssetKey) -> TradingHours:
    """Return the market of an asset: for a contract, that on which it is traded until it expires."""
    hours = hours_of(asset)
    return hours.market if isinstance(hours, ContractHours) else hours


def years_of(series: Iterable[SeriesInfo]) -> tuple[int, int]:
    """Return the first and the last year in which one of some series is covered or has bars."""
    bounds = [span for info in series if (span := _span(info)) is not None]
    if not bounds:
        return 1970, 1970
    start, end = min(span.start for span in bounds), max(span.end for span in bounds)
    return date_of(max(start, midnight(_FIRST))).year, date_of(min(end, midnight(_LAST))).year


@lru_cache(maxsize=16)
def market_days(market: TradingHours, intraday: bool, years: tuple[int, int]) -> MarketDays:
    """Return the trading days of a market from a first to a last year.

    Intraday bars belong to the calendar day of New York in which they start. A longer bar belongs to the session that
    opens during it, and so to the day on which that opens.
    """
    first_day, last_day = date(years[0], 1, 1) - _DAY, date(years[1], 12, 31) + _DAY
    sessions = np.array(market.sessions(first_day, last_day), np.int64)
    opens, closes = sessions[:, 0], sessions[:, 1]
    if not intraday:
        return _days_of_sessions(opens, closes)
    joins = opens[1:] == closes[:-1]
    opens, closes = opens[np.append(True, ~joins)], closes[np.append(~joins, True)]
    numbers = np.arange((first_day - _EPOCH).days, (last_day - _EPOCH).days + 1)
    bounds = midnights(numbers)
    numbers, begin, end = numbers[:-1], bounds[:-1], bounds[1:]
    first = closes.searchsorted(begin, side="right").clip(max=len(opens) - 1)
    last = (opens.searchsorted(end, side="left") - 1).clip(min=0)
    start, stop = np.maximum(opens[first], begin), np.minimum(closes[last], end)
    is_open = start < stop
    return MarketDays(numbers[is_open], start[is_open], stop[is_open])


def _days_of_sessions(opens: Int64Array, closes: Int64Array) -> MarketDays:
    numbers = opens // SECONDS_PER_DAY
    # The bars of Sunday evening, when the currency market opens, are in the daily bar of Monday.
    evening = ((numbers + 3) % 7 == SUNDAY) & (closes - opens < _SHORT_SESSION)
    opens, numbers = opens[~evening], numbers[~evening]
    return MarketDays(numbers, opens, opens + 1)


def is_intraday(info: SeriesInfo) -> bool:
    """Return whether the bars of a series are shorter than a day."""
    return bar_seconds(info.key.timeframe) < SECONDS_PER_DAY


def series_days(info: SeriesInfo, stored: Days, market: MarketDays) -> SeriesDays:
    """Return the states of the days of a series from the first that is covered or has bars to the last such day.

    Parameters:
        info: the series.
        stored: the days that have bars.
        market: the days of its market in these years.
    """
    length = bar_seconds(info.key.timeframe)
    span = _span(info)
    if span is None:
        return SeriesDays(0, np.empty(0, np.uint8))
    begin, stop = int(market.end.searchsorted(span.start, "right")), int(market.start.searchsorted(span.end, "left"))
    expiration = info.key.asset.expiration
    if expiration is not None:
        stop = min(stop, int(market.numbers.searchsorted((expiration - _EPOCH).days, "right")))
    stop = max(begin, stop)
    numbers, opens, closes = (column[begin:stop] for column in (market.numbers, market.start, market.end))
    has_bars = _within_bars(opens, stored, length) if length >= SECONDS_PER_DAY else np.isin(numbers, stored.numbers)
    covered = _inside(opens, closes, info.coverage)
    expires = _touching(opens, closes, merged(each.within for each in info.provisional))
    states = np.full(stop - begin, NOT_REQUESTED, np.uint8)
    states[covered] = GAP
    states[covered & expires] = PROVISIONAL
    states[has_bars] = BARS
    return SeriesDays(begin, states)


def _span(info: SeriesInfo) -> TimeRange | None:
    """Return the range from the first to the last moment that is covered or has bars; None if there is none."""
    ranges = [*info.coverage[:1], *info.coverage[-1:]]
    if info.first is not None and info.last is not None:
        ranges.append(TimeRange(info.first, info.last + bar_seconds(info.key.timeframe)))
    if not ranges:
        return None
    return TimeRange(min(piece.start for piece in ranges), max(piece.end for piece in ranges))


def _within_bars(moments: Int64Array, stored: Days, length: int) -> Mask:
    """Return which moments are in a bar of a day or longer: on such days there is one bar each."""
    if not len(stored):
        return np.zeros(len(moments), bool)
    place = stored.first.searchsorted(moments, side="right") - 1
    found: Mask = (place >= 0) & (moments < stored.first[place] + length)
    return found


def _inside(starts: Int64Array, ends: Int64Array, ranges: Sequence[TimeRange]) -> Mask:
    """Return which spans are wholly in one of some ranges, which are sorted and disjoint."""
    if not ranges:
        return np.zeros(len(starts), bool)
    firsts, lasts = _as_arrays(ranges)
    place = firsts.searchsorted(starts, side="right") - 1
    found: Mask = (place >= 0) & (ends <= lasts[place])
    return found


def _touching(starts: Int64Array, ends: Int64Array, ranges: Sequence[TimeRange]) -> Mask:
    """Return which spans overlap one of some ranges, which are sorted and disjoint."""
    if not ranges:
        return np.zeros(len(starts), bool)
    firsts, lasts = _as_arrays(ranges)
    place = lasts.searchsorted(starts, side="right")
    found: Mask = (place < len(lasts)) & (firsts[place.clip(max=len(lasts) - 1)] < ends)
    return found


def _as_arrays(ranges: Sequence[TimeRange]) -> tuple[Int64Array, Int64Array]:
    return np.array([piece.start for piece in ranges], np.int64), np.array([piece.end for piece in ranges], np.int64)
