"""Timeframes: their one canonical spelling ("minute", "5minute", "hour", "day", ...) and the length of their bars.

Also the resolutions in which pandas and Arrow count time.
"""

from __future__ import annotations

import re
from functools import lru_cache

TICKS_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Keyed by the name of the resolution."""

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 31 * 86_400}
_LONGEST_SECONDS = 100 * 366 * 86_400

# "m" means minute and "mo" month, as in Lumibot; "1M" is a month, as at exchanges and in pandas.
_UNITS = {
    "second": ("s", "sec", "secs", "second", "seconds"),
    "minute": ("m", "t", "min", "mins", "minute", "minutes"),
    "hour": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days", "daily"),
    "week": ("w", "wk", "wks", "week", "weeks", "weekly"),
    "month": ("mo", "mos", "mon", "month", "months", "monthly"),
}
_UNIT_OF_ALIAS = {alias: unit for unit, aliases in _UNITS.items() for alias in aliases}
# 60 minutes and an hour are the same bars; 24 hours and a day are not, since a day follows the calendar.
_SAME_AS_LARGER = (("second", 60, "minute"), ("minute", 60, "hour"))
_SPELLING = re.compile(r"(\d{0,6})\s*-?\s*([a-zA-Z]+)")


@lru_cache(maxsize=512)
def canonical_timeframe(timeframe: str) -> str:
    """Return the canonical spelling of a timeframe; raise ValueError if it has none or may be one of two.

    Upper and lower case are the same, except that "m" is a minute and "M" a month. "5M" is refused, because vendors
    use it for minutes as well.

    >>> canonical_timeframe("1Min"), canonical_timeframe("60m"), canonical_timeframe("1M")
    ('minute', 'hour', 'month')
    """
    found = _SPELLING.fullmatch(timeframe.strip()) if isinstance(timeframe, str) else None
    count = int(found[1] or 1) if found else 0
    if found is not None and found[2] == "M":
        if count != 1:
            raise ValueError(f'{timeframe!r} may be minutes or months: write "{count}min" or "{count}mo"')
        return "month"
    unit = _UNIT_OF_ALIAS.get(found[2].lower()) if found else None
    if unit is None or count < 1:
        raise ValueError(
            f"{timeframe!r} is not a timeframe: give a number (optional) and one of {', '.join(_SECONDS)}, "
            f'for example "minute", "5minute", "1h" or "day"{_similar(found)}'
        )
    if count * _SECONDS[unit] > _LONGEST_SECONDS:
        raise ValueError(f"{timeframe!r} is not a timeframe: its bars would be longer than a hundred years")
    for smaller, many, larger in _SAME_AS_LARGER:
        if unit == smaller and count % many == 0:
            unit, count = larger, count // many
    return unit if count == 1 else f"{count}{unit}"


def _similar(found: re.Match[str] | None) -> str:
    """Return "; did you mean ...?" for a misspelled unit, or nothing."""
    from difflib import get_close_matches

    units = get_close_matches(found[2].lower(), _UNIT_OF_ALIAS, n=1) if found else []
    return f"; did you mean {found[1]}{_UNIT_OF_ALIAS[units[0]]}?" if found and units else ""


@lru_cache(maxsize=512)
def bar_seconds(timeframe: str) -> int:
    """Return the length of a bar of a canonical timeframe in seconds. A month counts as 31 days.

    >>> bar_seconds("5minute")
    300
    """
    found = _SPELLING.fullmatch(timeframe)
    if found is None or found[2] not in _SECONDS:
        raise ValueError(f"{timeframe!r} is not a canonical timeframe")
    return int(found[1] or 1) * _SECONDS[found[2]]


def timeframe_unit(timeframe: str) -> str:
    """Return the unit of a canonical timeframe.

    >>> timeframe_unit("5minute")
    'minute'
    """
    return count_and_unit(timeframe)[1]


def count_and_unit(timeframe: str) -> tuple[int, str]:
    """Return the two parts of a canonical timeframe.

    >>> count_and_unit("5minute"), count_and_unit("week")
    ((5, 'minute'), (1, 'week'))
    """
    unit = timeframe.lstrip("0123456789")
    return int(timeframe.removesuffix(unit) or 1), unit


def is_of_days(timeframe: str) -> bool:
    """Return whether bars of a canonical timeframe are whole days, which follow the calendar."""
    return timeframe_unit(timeframe) in ("day", "week", "month")
