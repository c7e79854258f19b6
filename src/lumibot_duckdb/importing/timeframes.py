"""The timeframe of bars in a file: from their spacing, or from a word such as "5min" in the file's name."""

from __future__ import annotations

import re

from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.times import SECONDS_PER_DAY

SECONDS_PER_DAYS_OF_MONTH = 365.25 / 12
_UNIT_FIRST = re.compile(r"([a-z]{1,2})(\d{1,4})", re.IGNORECASE)
_OTHER_WORDS = {"hourly": "hour", "eod": "day"}


def timeframe_of_word(word: str) -> str | None:
    """Return the timeframe a word stands for ("1min", "5m", "M5", "H1", "daily"), None if it is not one.

    A single letter does not count as a timeframe.
    """
    if len(word) < 2:
        return None
    count_first = _UNIT_FIRST.sub(r"\2\1", word) if _UNIT_FIRST.fullmatch(word) else word
    try:
        return canonical_timeframe(_OTHER_WORDS.get(word.lower(), count_first))
    except ValueError:
        return None


def timeframe_of_spacing(seconds: int) -> str:
    """Return the timeframe of bars that are mostly `seconds` apart (a positive number).

    A clock change makes a day, a week or a month an hour shorter or longer; months have 28 to 31 days.
    """
    days = round(seconds / SECONDS_PER_DAY)
    if days == 0 or abs(seconds - days * SECONDS_PER_DAY) > 3600:
        return canonical_timeframe(f"{seconds} seconds")
    months = round(days / SECONDS_PER_DAYS_OF_MONTH)
    if months and abs(days - months * SECONDS_PER_DAYS_OF_MONTH) < 2.5:
        return canonical_timeframe(f"{months} months")
    return canonical_timeframe(f"{days // 7} weeks" if days % 7 == 0 else f"{days} days")
