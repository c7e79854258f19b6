"""When markets are open, according to their calendars.

A response without bars proves little about trading time. When the market was closed, there are no bars to wait for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from functools import cache
from typing import TypeAlias

from lumibot_duckdb.storage.api import AssetKey, EpochSeconds, TimeRange
from lumibot_duckdb.storage.bars.coverage import LARGEST_GRID
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, UTC, date_of, epoch_seconds, midnight

Session: TypeAlias = "tuple[EpochSeconds, EpochSeconds]"
"""When a market opens and when it closes."""

SATURDAY, SUNDAY = 5, 6
_FRIDAY = 4

_DAY = timedelta(days=1)
_STEP = timedelta(days=14)
_FIRST, _LAST = date(1900, 1, 1), date(2100, 1, 1)
"""No calendar is asked about other days, on which markets count as closed."""

_YEARS = 20


class TradingHours(ABC):
    """The sessions of a market."""

    @abstractmethod
    def sessions(self, first: date, last: date) -> Sequence[Session]:
        """Return the sessions of some days, both included, sorted."""

    def is_open(self, within: TimeRange) -> bool:
        """Return whether the market is open at any time of a range."""
        return any(opens < within.end and closes > within.start for opens, closes in self._forward(within))

    def trading_part(self, within: TimeRange, timeframe: str) -> TimeRange | None:
        """Return a range without closed time at its ends; None if no bar of a timeframe can start in it.

        An intraday bar may start before the session opens. A bar of a day or longer belongs to the session that opens
        during it.
        """
        length = bar_seconds(timeframe)
        intraday = length < SECONDS_PER_DAY
        early = length - min(length, LARGEST_GRID) if intraday else SECONDS_PER_DAY

        def part(session: Session) -> TimeRange | None:
            opens, closes = session
            if not intraday and not within.start <= opens < within.end:
                return None
            start, end = max(within.start, opens - early), min(within.end, closes)
            return TimeRange(start, end) if start < end else None

        first = next(filter(None, map(part, self._forward(within))), None)
        if first is None:
            return None
        last = next(filter(None, map(part, self._backward(within))), first)
        return TimeRange(first.start, last.end)

    def _forward(self, within: TimeRange) -> Iterator[Session]:
        """Yield the sessions that may touch a range, the earliest first."""
        day, end = _days(within)
        while day <= end:
            yield from self.sessions(day, min(end, day + _STEP - _DAY))
            day += _STEP

    def _backward(self, within: TimeRange) -> Iterator[Session]:
        """Yield the sessions that may touch a range, the latest first."""
        start, day = _days(within)
        while day >= start:
            yield from reversed(self.sessions(max(start, day - _STEP + _DAY), day))
            day -= _STEP


@dataclass(frozen=True)
class DailyHours(TradingHours):
    """A market that is open around the clock, except on some days of the week, in a time zone."""

    zone: tzinfo = UTC
    closed: Collection[int] = ()

    def sessions(self, first: date, last: date) -> Sequence[Session]:
        """Return each day from midnight to midnight."""
        days = (first + number * _DAY for number in range((last - first).days + 1))
        return [
            (midnight(day, self.zone), midnight(day + _DAY, self.zone))
            for day in days
            if day.weekday() not in self.closed
        ]


class CurrencyHours(TradingHours):
    """The currency market, in days of UTC: open from Sunday to Friday, 17:00 in New York."""

    def sessions(self, first: date, last: date) -> Sequence[Session]:
        """Return the open part of each day."""
        found = []
        for opens, closes in DailyHours(closed=(SATURDAY,)).sessions(first, last):
            day = date_of(opens)
            turn = epoch_seconds(datetime.combine(day, time(17), tzinfo=NEW_YORK))
            weekday = day.weekday()
            found.append((turn if weekday == SUNDAY else opens, turn if weekday == _FRIDAY else closes))
        return found


class NewYorkHours(TradingHours):
    """The regular hours of the New York Stock Exchange, with its holidays and early closes."""

    def sessions(self, first: date, last: date) -> Sequence[Session]:
        """Return the sessions of the exchange."""
        found: list[Session] = []
        for block in range(first.year // _YEARS, last.year // _YEARS + 1):
            sessions = _new_york(block)
            begin = bisect_left(sessions, (midnight(first, NEW_YORK), 0))
            end = bisect_left(sessions, (midnight(last + _DAY, NEW_YORK), 0))
            found += sessions[begin:end]
        return found


@dataclass(frozen=True)
class ContractHours(TradingHours):
    """The hours of a contract, which is not traded after its expiration."""

    market: TradingHours
    expiration: date

    def sessions(self, first: date, last: date) -> Sequence[Session]:
        """Return the sessions of the market until the contract expires."""
        last = min(last, self.expiration)
        return self.market.sessions(first, last) if first <= last else ()


ALWAYS_OPEN = DailyHours()
NEW_YORK_HOURS = NewYorkHours()
_CURRENCIES = CurrencyHours()

_HOURS = {
    "stock": NEW_YORK_HOURS,
    "option": NEW_YORK_HOURS,
    "index": NEW_YORK_HOURS,
    "forex": _CURRENCIES,
    "future": _CURRENCIES,
    "cont_future": _CURRENCIES,
}


def hours_of(asset: AssetKey) -> TradingHours:
    """Return the trading hours of an asset; of a type whose market is not known here, that it is always open."""
    hours = _HOURS.get(asset.asset_type, ALWAYS_OPEN)
    return hours if asset.expiration is None else ContractHours(hours, asset.expiration)


@cache
def _new_york(block: int) -> Sequence[Session]:
    """Return New York's sessions of a block of years; the calendar takes as long for one year as for many."""
    import pandas as pd
    import pandas_market_calendars

    first, last = date(block * _YEARS, 1, 1), date(block * _YEARS + _YEARS - 1, 12, 31)
    schedule = pandas_market_calendars.get_calendar("NYSE").schedule(first, last)
    opens, closes = (
        pd.DatetimeIndex(schedule[name]).as_unit("s").asi8.tolist() for name in ("market_open", "market_close")
    )
    return list(zip(opens, closes, strict=True))


def _days(within: TimeRange) -> tuple[date, date]:
    """Return the first and the last day, of any time zone, that a range may touch."""
    first = max(within.start, midnight(_FIRST))
    last = min(within.end, midnight(_LAST))
    return date_of(first) - _DAY, date_of(max(first, last)) + _DAY
