"""The timeframe of bars in a file: from their distances, or from a word such as "5min" in the file's name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd

from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe
from lumibot_duckdb.storage.times import SECONDS_PER_DAY

DAYS_OF_A_MONTH = 365.25 / 12
_MONTH = bar_seconds("month")
# Longer distances are gaps, not timeframes.
_LONGEST = 12 * _MONTH
_UNIT_FIRST = re.compile(r"([a-z]{1,2})(\d{1,4})", re.IGNORECASE)
_UPPER_M = re.compile(r"(\d{1,4})M")
_MONTHS_OF_UPPER_M = ("1", "2", "3", "6", "12")
_OTHER_WORDS = {"hourly": "hour", "eod": "day", "mn": "month"}
_USUAL = frozenset(
    canonical_timeframe(text)
    for text in [
        "1s",
        "5s",
        "10s",
        "15s",
        "30s",
        "1m",
        "2m",
        "3m",
        "5m",
        "10m",
        "15m",
        "20m",
        "30m",
        "45m",
        "1h",
        "2h",
        "3h",
        "4h",
        "6h",
        "8h",
        "12h",
        "1d",
        "1w",
        "1mo",
        "3mo",
    ]
)
# Less evidence than this is a guess, which the summary mentions.
_ENOUGH_GAPS = 3
# Bars of one timeframe may come closer together at the start of a session or where the clocks change.
_IRREGULAR = 0.2


@dataclass(frozen=True, slots=True)
class TimeframeGuess:
    """A timeframe. `doubt` says what makes it uncertain, "" for nothing."""

    timeframe: str
    doubt: str = ""


def timeframe_of_word(word: str) -> str | None:
    """Return the timeframe a word stands for ("1min", "5m", "M5", "H1", "daily", "1M"), None if it is not one.

    A single letter does not count as a timeframe. "M5" is minutes, as in MetaTrader; "3M" is months, but "15M" minutes.
    """
    if len(word) < 2:
        return None
    word = _OTHER_WORDS.get(word.lower(), word)
    if found := _UNIT_FIRST.fullmatch(word):
        unit = {"m": "min", "mn": "mo"}.get(found[1].lower(), found[1])
        word = f"{found[2]}{unit}"
    elif found := _UPPER_M.fullmatch(word):
        word = f"{found[1]}{'mo' if found[1] in _MONTHS_OF_UPPER_M else 'min'}"
    try:
        return canonical_timeframe(word)
    except ValueError:
        return None


def timeframe_of_spacing(seconds: int) -> str:
    """Return the timeframe of bars that are `seconds` apart (a positive number).

    A clock change makes a day, a week or a month an hour shorter or longer; months have 28 to 31 days.
    """
    length = _length(seconds)
    for unit, of_unit in (("months", _MONTH), ("weeks", 7 * SECONDS_PER_DAY), ("days", SECONDS_PER_DAY)):
        if length % of_unit == 0:
            return canonical_timeframe(f"{length // of_unit} {unit}")
    return canonical_timeframe(f"{length} seconds")


def timeframe_of_gaps(gaps: Mapping[int, int], named: str | None = None) -> TimeframeGuess | None:
    """Return the timeframe of bars from the distances between them, as a count by seconds; None if they do not show it.

    `named` is the timeframe in the name of the file. It decides where bars are missing, since minutes may be five
    minutes apart, but not against bars that are closer together or all equally far apart.
    """
    lengths: Counter[int] = Counter()
    for gap, count in gaps.items():
        lengths[_length(gap)] += count
    total = sum(lengths.values())
    common = min(lengths, key=lambda length: (-lengths[length], length))
    found = _if_usual(common, total)
    if named is not None and found != named:
        fits = all(length % bar_seconds(named) == 0 for length in lengths)
        fits &= common < SECONDS_PER_DAY or bar_seconds(named) >= SECONDS_PER_DAY
        is_regular = total >= _ENOUGH_GAPS and lengths[common] > (1 - _IRREGULAR) * total
        if found is None or (fits and not is_regular):
            return TimeframeGuess(named)
        return TimeframeGuess(found, f"its name says {named}, but most bars are one {found} apart")
    if named is not None:
        return TimeframeGuess(named)
    if sum(count for length, count in lengths.items() if length < common) > _IRREGULAR * total:
        found = _if_usual(reduce(gcd, lengths), total=0)
        return (
            TimeframeGuess(found, f"its bars are unevenly far apart: imported as {found} bars with gaps")
            if found
            else None
        )
    if found is None:
        return None
    return TimeframeGuess(found, f"only two bars show that it has {found} bars" if total == 1 else "")


def _length(gap: int) -> int:
    """Return a distance in seconds as a number of whole days or months, if it is about that."""
    days = round(gap / SECONDS_PER_DAY)
    if days == 0 or abs(gap - days * SECONDS_PER_DAY) > 3600:
        return gap
    months = round(days / DAYS_OF_A_MONTH)
    if months and abs(days - months * DAYS_OF_A_MONTH) < 2.5:
        return months * _MONTH
    return days * SECONDS_PER_DAY


def _if_usual(length: int, total: int) -> str | None:
    """Return the timeframe of a length unless it is an unusual one, such as three days, that few bars show."""
    if length > _LONGEST:
        return None
    timeframe = timeframe_of_spacing(length)
    return timeframe if timeframe in _USUAL or total >= _ENOUGH_GAPS else None
