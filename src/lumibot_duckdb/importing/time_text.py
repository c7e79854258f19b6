"""Parses dates and times in the text formats of vendors to clock readings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.importing.arrays import BoolArray, IntArray, as_bools, as_integers
from lumibot_duckdb.importing.zones import localise, zone_name
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import SECONDS_PER_DAY

_MONTHS = pa.array(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
_EASTERN = {"est": -5 * 3600, "edt": -4 * 3600}

_MINUTES = r"(?P<M>\d{2})(?:[:.]?(?P<S>\d{2})(?:[.,:](?P<f>\d+))?)? *(?:(?P<half>[ap])\.?m\b\.?)?"
_CLOCK = rf"(?:[T ;,_] *(?P<H>\d{{1,2}})[:.]?{_MINUTES})?"
# As CryptoDataDownload writes hours: 11-PM.
_HOUR_ALONE = r"[T ;,_] *(?P<H>\d{1,2})(?P<M>)(?P<S>)(?P<f>) *-? *(?P<half>[ap])\.?m\b\.?"
_JOINED_CLOCK = rf"(?P<H>\d{{2}}){_MINUTES}"
_ZONE = r" *(?P<zone>z|utc|gmt|e[sd]t|(?:utc|gmt)?[+-]\d{1,2}(?::?\d{2})?|[a-z]+(?:/[a-z_+-]+)+)?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)?"
_MONTH_NAME = r"(?P<month_name>[a-z]{3})[a-z]*\.?"
_TWO_NUMBERS = r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})[-/.](?P<year>\d{4}|\d{2})"
_SHAPES = tuple(
    rf"(?i)^{_WEEKDAY}{date}{clock}{_ZONE}$"
    for date, clock in (
        (r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})", _CLOCK),
        (r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})", _HOUR_ALONE),
        (r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})", _CLOCK),
        (r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})", _JOINED_CLOCK),
        (_TWO_NUMBERS, _CLOCK),
        (_TWO_NUMBERS, _HOUR_ALONE),
        (rf"(?P<day>\d{{1,2}})[-/ .]?{_MONTH_NAME}[-/ ,]*(?P<year>\d{{4}}|\d{{2}})", _CLOCK),
        (rf"{_MONTH_NAME} +(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? +(?P<year>\d{{4}})", _CLOCK),
    )
)
_STARTS_WITH_TWO_NUMBERS = rf"(?i)^{_WEEKDAY}{_TWO_NUMBERS}(?:[^0-9].*)?$"
_OFFSET = re.compile(r"(?:utc|gmt)?([+-])(\d{1,2}):?(\d{2})?")


@dataclass(frozen=True, slots=True)
class ClockReadings:
    """The readings of clocks, one for each row.

    `seconds` since 1970 on that clock; the clock is `offset` seconds ahead of UTC where it is `zoned`. Meaningless
    where not `readable`. `fraction`: there is a fraction of a second too, which `seconds` lacks.
    """

    seconds: IntArray
    zoned: BoolArray
    offset: IntArray
    fraction: BoolArray
    readable: BoolArray


def find_date_order(text: pa.ChunkedArray) -> tuple[str | None, str | None]:
    """Return the order of day and month ("dmy" or "mdy") in dates such as 31/12/2024, and a date in doubt.

    (None, None) if there are no such dates, (order, None) if one of them decides, (None, date) if none does.
    """
    dates = text.filter(pc.match_substring_regex(text, _STARTS_WITH_TWO_NUMBERS))
    if len(dates) == 0:
        return None, None
    parts = pc.extract_regex(dates, _STARTS_WITH_TWO_NUMBERS)
    first, second = (as_integers(pc.struct_field(parts, name)) for name in ("first", "second"))
    day_first, month_first = (first > 12).sum(), (second > 12).sum()
    if day_first != month_first:
        return ("dmy" if day_first > month_first else "mdy"), None
    if pc.struct_field(parts, "mark")[0].as_py() == ".":
        return "dmy", None
    return None, dates[int(np.argmax(first != second))].as_py()


def read_time_text(text: pa.ChunkedArray, date_order: str | None) -> ClockReadings:
    """Return the readings in text without nulls. `date_order` is for dates such as 1/2/2024: "mdy" or "dmy"."""
    return _read_iso(text) or _read_shapes(text, date_order)


def readings_of_timestamps(column: pa.ChunkedArray) -> ClockReadings:
    """Return the readings of a timestamp column; a column without a zone gives readings without one."""
    zoned = column.type.tz is not None
    per_second = TICKS_PER_SECOND[column.type.unit]
    counts = column.cast(pa.int64()).fill_null(0).to_numpy()
    rows = len(column)
    return ClockReadings(
        seconds=counts // per_second,
        zoned=np.full(rows, zoned),
        offset=np.zeros(rows, np.int64),
        fraction=counts % per_second != 0,
        readable=as_bools(column.is_valid()),
    )


def _read_iso(text: pa.ChunkedArray) -> ClockReadings | None:
    """Return the readings if all are ISO 8601, quickly; None if any needs a closer look."""
    filled = pc.if_else(pc.equal(text, ""), None, text)
    for zone in (None, "UTC"):
        try:
            return readings_of_timestamps(filled.cast(pa.timestamp("us", zone)))
        except pa.ArrowInvalid:
            continue
    return None


def _read_shapes(text: pa.ChunkedArray, date_order: str | None) -> ClockReadings:
    rows = len(text)
    found = ClockReadings(*(np.zeros(rows, kind) for kind in (np.int64, bool, np.int64, bool, bool)))
    left = np.arange(rows)
    for shape in _SHAPES:
        candidates = text.take(pa.array(left))
        matched = as_bools(pc.match_substring_regex(candidates, shape))
        if matched.any():
            parts = pc.extract_regex(candidates.filter(pa.array(matched)), shape)
            names = [parts.type.field(i).name for i in range(parts.type.num_fields)]
            _fill(found, left[matched], {name: pc.struct_field(parts, name) for name in names}, date_order)
            left = left[~matched]
    return found


def _fill(found: ClockReadings, rows: IntArray, parts: Mapping[str, pa.ChunkedArray], date_order: str | None) -> None:
    days, date_is_real = _days(parts, date_order)
    seconds, clock_is_real = _seconds_of_day(parts)
    found.seconds[rows] = days * SECONDS_PER_DAY + seconds
    found.fraction[rows] = as_bools(pc.match_substring_regex(parts["f"], "[1-9]"))
    found.readable[rows] = date_is_real & clock_is_real
    zones = pc.utf8_lower(parts["zone"])
    for zone in pc.unique(zones).to_pylist():
        if zone:
            _place(found, rows[as_bools(pc.equal(zones, zone))], zone)


def _days(parts: Mapping[str, pa.ChunkedArray], date_order: str | None) -> tuple[IntArray, BoolArray]:
    """Return days since 1970 and whether such a day exists."""
    if "month_name" in parts:
        index = pc.index_in(pc.utf8_lower(parts["month_name"]), _MONTHS)
        month = index.fill_null(-1).to_numpy().astype(np.int64) + 1
        day = as_integers(parts["day"])
    elif "first" in parts:
        first, second = as_integers(parts["first"]), as_integers(parts["second"])
        day, month = (first, second) if date_order == "dmy" else (second, first)
        month = np.where(date_order is None, 0, month)
    else:
        day, month = as_integers(parts["day"]), as_integers(parts["month"])
    year = as_integers(parts["year"])
    short = as_bools(pc.equal(pc.utf8_length(parts["year"]), 2))
    year = np.where(short, year + np.where(year < 69, 2000, 1900), year)
    months = (year - 1970) * 12 + month - 1
    start, end = (m.astype("M8[M]").astype("M8[D]").astype(np.int64) for m in (months, months + 1))
    return start + day - 1, (month >= 1) & (month <= 12) & (day >= 1) & (day <= end - start)


def _seconds_of_day(parts: Mapping[str, pa.ChunkedArray]) -> tuple[IntArray, BoolArray]:
    """Return seconds since midnight and whether such a time exists."""
    hour, minute, second = (as_integers(parts[name]) for name in ("H", "M", "S"))
    half = pc.utf8_lower(parts["half"])
    halved, afternoon = as_bools(pc.not_equal(half, "")), as_bools(pc.equal(half, "p"))
    real = np.where(halved, (hour >= 1) & (hour <= 12), hour < 24) & (minute < 60) & (second < 60)
    hour = np.where(halved, hour % 12 + 12 * afternoon, hour)
    return hour * 3600 + minute * 60 + second, real


def _place(found: ClockReadings, rows: IntArray, zone: str) -> None:
    """Note the zone written beside some rows: an offset, an abbreviation or a name of the time zone database."""
    found.zoned[rows] = True
    if match := _OFFSET.fullmatch(zone):
        sign, hours, minutes = match.groups(default="0")
        found.offset[rows] = (1 if sign == "+" else -1) * (int(hours) * 3600 + int(minutes) * 60)
    elif zone in _EASTERN:
        found.offset[rows] = _EASTERN[zone]
    elif zone not in ("z", "utc", "gmt"):
        name = zone_name(zone)
        if name is None:
            found.readable[rows] = False
            return
        local = localise(found.seconds[rows], name)
        found.offset[rows] = found.seconds[rows] - local.utc
        found.readable[rows] &= local.exists
