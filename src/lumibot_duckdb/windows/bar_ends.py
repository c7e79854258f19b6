"""When a bar has closed, by its start and its timeframe."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

from lumibot_duckdb.storage.timeframes import bar_seconds, count_and_unit
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, UTC, EpochSeconds, date_of, midnight

_DAYS = {"day": 1, "week": 7}


@lru_cache(maxsize=4096)
def bar_end(start: EpochSeconds, timeframe: str, *, made: bool) -> EpochSeconds:
    """Return when a bar has closed. A day ends at midnight, where it began at midnight.

    `made` says that the bar is made of smaller ones: one of less than a day is cut off at midnight in New York then.

    >>> bar_end(midnight(date(2024, 3, 10), NEW_YORK), "day", made=False) == midnight(date(2024, 3, 11), NEW_YORK)
    True
    """
    count, unit = count_and_unit(timeframe)
    zone = UTC if start % SECONDS_PER_DAY == 0 else NEW_YORK
    if unit == "month":
        begins = date_of(start, zone)
        months = begins.year * 12 + begins.month - 1 + count
        return midnight(date(months // 12, months % 12 + 1, 1), zone)
    if unit in _DAYS:
        days, begins = count * _DAYS[unit], date_of(start, zone)
        begins_at_midnight = midnight(begins, zone) == start
        return midnight(begins + timedelta(days=days), zone) if begins_at_midnight else start + days * SECONDS_PER_DAY
    end = start + bar_seconds(timeframe)
    return min(end, midnight(date_of(start, NEW_YORK) + timedelta(days=1), NEW_YORK)) if made else end
