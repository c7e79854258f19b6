"""Text without a header line: LEAN's bars, and headers to suggest for other files."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MILLISECONDS_OF_DAY = 86_400_000
_MINUTE = 60_000
_LEAN_WIDTHS = (6, 11)
_WHOLE = re.compile(r"\d{1,18}")
_DATA = re.compile(r"[+-]?[\d.,:/\- T]+Z?")
_DATE = re.compile(r"\d{8}|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_LEAN_TIME = re.compile(r"(?:19|20)\d{6} \d{2}:\d{2}")

LEAN_NAMES = ("time", "open", "high", "low", "close", "volume")
LEAN_SCALE = 10_000
# Bars of the bid, its size, bars of the ask, its size.
_LEAN_QUOTE_NAMES = ("time", "open", "high", "low", "close", "bid_size", "", "", "", "", "ask_size")
_BINANCE_NAMES = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)


def is_data(fields: Sequence[str]) -> bool:
    """Return whether the fields of a line are rather numbers and times than names."""
    filled = [field for field in fields if field]
    return 2 * sum(_DATA.fullmatch(field) is not None for field in filled) >= len(filled)


def is_lean_minutes(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows are LEAN's: milliseconds since midnight at whole minutes, then prices.

    Trades have six fields, quotes eleven.
    """
    if not rows or len(rows[0]) not in _LEAN_WIDTHS or any(len(row) != len(rows[0]) for row in rows):
        return False
    if not all(_WHOLE.fullmatch(row[0]) for row in rows):
        return False
    times = [int(row[0]) for row in rows]
    in_a_day = all(time < _MILLISECONDS_OF_DAY and time % _MINUTE == 0 for time in times)
    return in_a_day and times == sorted(times) and times[-1] > 0


def is_lean_hours_or_days(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows are LEAN's larger bars: times like `20240102 00:00`, in order, then prices and volume."""
    if not rows or any(len(row) != len(LEAN_NAMES) or not _LEAN_TIME.fullmatch(row[0]) for row in rows):
        return False
    times = [row[0] for row in rows]
    return times == sorted(times)


def has_whole_prices(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the prices of LEAN's rows are whole numbers, as those of stocks and options are."""
    return all(_WHOLE.fullmatch(price) for row in rows for price in row[1:5])


def suggested_header(fields: Sequence[str]) -> str:
    """Return a header to suggest for a first line. The empty names at its end are columns that are not stored."""
    width = len(fields)
    if is_lean_minutes([fields]) and width == len(_LEAN_QUOTE_NAMES):
        return ",".join(_LEAN_QUOTE_NAMES)
    if width == len(_BINANCE_NAMES) and len(fields[0]) >= 13:
        return ",".join(_BINANCE_NAMES)
    times = ["date", "time"] if width > 1 and _DATE.fullmatch(fields[0]) and _CLOCK.fullmatch(fields[1]) else ["time"]
    names = [*times, "open", "high", "low", "close", "volume"][:width]
    return ",".join(names) + "," * (width - len(names))
