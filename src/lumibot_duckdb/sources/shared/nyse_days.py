"""The trading days of the New York Stock Exchange, remembered from one process to the next.

The calendar library needs more than a tenth of a second to find them, for a few years as for many.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pandas_market_calendars

from lumibot_duckdb.lumibot_contract import remembered
from lumibot_duckdb.storage.times import Int64Array

_FILE = "nyse_days.json"
_FIRST, _LAST = date(1990, 1, 1), date(2039, 12, 31)
_OPEN, _CLOSED = "1", "0"


@cache
def nyse_days(first: date, last: date) -> tuple[date, ...] | None:
    """Return the trading days among some days, both ends included; None if these are not all remembered."""
    if not _FIRST <= first <= last <= _LAST:
        return None
    days = _numbers()
    low, high = days.searchsorted((_number(first), _number(last) + 1)).tolist()
    found: list[date] = days[low:high].astype("M8[D]").tolist()
    return tuple(found)


@cache
def _numbers() -> Int64Array:
    """Return the trading days of all remembered years, counted from 1970."""
    exchange = pandas_market_calendars.get_calendar("NYSE")
    key = (
        f"{type(exchange).__module__}.{type(exchange).__name__} of pandas_market_calendars "
        f"{pandas_market_calendars.__version__}, pandas {pd.__version__}, {_FIRST} to {_LAST}"
    )
    text = remembered.read(_FILE).get(key)
    days = _days_of(text)
    if days is None:
        days = exchange.valid_days(str(_FIRST), str(_LAST)).tz_localize(None).to_numpy("M8[D]").astype(np.int64)
        remembered.update(_FILE, {key: _text_of(days)})
    return days


def _days_of(text: Any) -> Int64Array | None:
    """Return the days that a text marks; None for one that was not written here."""
    if not isinstance(text, str) or len(text) != _number(_LAST) - _number(_FIRST) + 1 or set(text) != {_OPEN, _CLOSED}:
        return None
    return np.flatnonzero(np.frombuffer(text.encode("ascii"), "S1") == _OPEN.encode()) + _number(_FIRST)


def _text_of(days: Int64Array) -> str:
    """Return a text with a character for each calendar day of the remembered years, which tells trading days."""
    is_open = np.zeros(_number(_LAST) - _number(_FIRST) + 1, bool)
    is_open[days - _number(_FIRST)] = True
    return "".join(np.where(is_open, _OPEN, _CLOSED).tolist())


def _number(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()
