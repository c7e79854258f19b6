"""Time zones: their names, offsets from UTC, zones in headings, and local times as UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from zoneinfo import available_timezones

import numpy as np
import pandas as pd

from lumibot_duckdb.importing.arrays import BoolArray, IntArray

_LONGEST_HEADING = 100
_OFFSET = r"([+\-\u2212]) *(\d{1,2})(?::?(\d{2}))?"
_NAMED_OFFSET = re.compile(rf"(?:utc|gmt)? *{_OFFSET}", re.IGNORECASE)
_UTC_IN_HEADING = re.compile(rf"(?<![a-z])(?:utc|gmt) *(?:{_OFFSET})?(?![a-z0-9])", re.IGNORECASE)
_OFFSET_IN_BRACKETS = re.compile(rf"[(\[] *{_OFFSET} *[)\]]")
_NAME_IN_HEADING = re.compile(r"[a-z]+(?:/[a-z_]+)+", re.IGNORECASE)
_NEW_YORK, _CHICAGO, _LOS_ANGELES = "America/New_York", "America/Chicago", "America/Los_Angeles"
# An abbreviation that is used for the standard time and for the local time all year may be either.
_ABBREVIATIONS = {
    "et": (_NEW_YORK,),
    "eastern": (_NEW_YORK,),
    "new york": (_NEW_YORK,),
    "est": (_NEW_YORK, "UTC-05:00"),
    "edt": (_NEW_YORK, "UTC-04:00"),
    "ct": (_CHICAGO,),
    "cst": (_CHICAGO, "UTC-06:00", "Asia/Shanghai"),
    "cdt": (_CHICAGO, "UTC-05:00"),
    "pt": (_LOS_ANGELES,),
    "pst": (_LOS_ANGELES, "UTC-08:00"),
    "pdt": (_LOS_ANGELES, "UTC-07:00"),
    "bst": ("Europe/London", "UTC+01:00"),
    "cet": ("Europe/Berlin", "UTC+01:00"),
    "cest": ("Europe/Berlin", "UTC+02:00"),
    "eet": ("Europe/Helsinki", "UTC+02:00"),
    "eest": ("Europe/Helsinki", "UTC+03:00"),
    "msk": ("Europe/Moscow",),
    "ist": ("Asia/Kolkata", "Asia/Jerusalem", "Europe/Dublin"),
    "hkt": ("Asia/Hong_Kong",),
    "sgt": ("Asia/Singapore",),
    "jst": ("Asia/Tokyo",),
    "kst": ("Asia/Seoul",),
}
_ABBREVIATION = re.compile(
    rf"[(\[ ](?P<zone>{'|'.join(sorted(_ABBREVIATIONS, key=len, reverse=True))})(?: time)?[)\]]?$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """Local times as UTC seconds.

    `later` is 0 but where the clocks went back and the local time came twice: `utc` is the first of the two, the
    other one is `later` seconds after it. Where the clocks went forward over a time it does not `exist`.
    """

    utc: IntArray
    later: IntArray
    exists: BoolArray


def zone_name(text: str) -> str | None:
    """Return the canonical name of a zone, None if it is none.

    A zone is a name of the time zone database in any case ("america/new_york") or an offset ("UTC+2", "-05:30"), whose
    canonical form is "UTC+02:00".
    """
    found = _NAMED_OFFSET.fullmatch(text.strip())
    return _zones().get(text.strip().lower()) or (found and _offset_name(*found.groups()))


def split_heading(heading: str) -> tuple[str, tuple[str, ...]]:
    """Return the heading of a column without the time zone in it, and the zones that it may mean: usually one or none.

    >>> split_heading("Time (GMT+2)")
    ('Time', ('UTC+02:00',))
    """
    if len(heading) > _LONGEST_HEADING:
        return heading, ()
    named = next((found for found in _NAME_IN_HEADING.finditer(heading) if zone_name(found[0])), None)
    if named is not None:
        return _without(heading, named), (zone_name(named[0]) or "",)
    spaced = heading.replace("_", " ").rstrip()
    if found := _UTC_IN_HEADING.search(spaced) or _OFFSET_IN_BRACKETS.search(spaced):
        zone = "UTC" if found[1] is None else _offset_name(*found.groups())
        return (_without(spaced, found), (zone,)) if zone else (heading, ())
    if found := _ABBREVIATION.search(spaced):
        return _without(spaced, found), _ABBREVIATIONS[found["zone"].lower()]
    return heading, ()


def same_zone(one: str, other: str) -> bool:
    """Return whether two zones have shown the same times since 1990."""
    days = np.arange("1990-01-01", "2038-01-01", 7, dtype="M8[D]").astype("M8[s]").astype(np.int64)
    return bool((first_instants(days, one) == first_instants(days, other)).all())


def localise(seconds: IntArray, zone: str) -> LocalTimes:
    """Return the UTC times of clock readings (seconds since 1970 as the clock shows) in `zone`."""
    readings = pd.DatetimeIndex(seconds.astype("M8[s]"))
    summer = np.ones(len(readings), bool)
    first, second = (
        readings.tz_localize(zone, ambiguous=ambiguous, nonexistent="NaT") for ambiguous in (summer, ~summer)
    )
    exists = np.asarray(first.notna())
    utc = np.asarray(first.asi8)
    return LocalTimes(utc, np.where(exists, np.asarray(second.asi8) - utc, 0), exists)


def first_instants(days: IntArray, zone: str) -> IntArray:
    """Return when the local days that start at the given clock readings begin, in UTC."""
    readings = pd.DatetimeIndex(days.astype("M8[s]"))
    first = readings.tz_localize(zone, ambiguous=np.ones(len(readings), bool), nonexistent="shift_forward")
    return np.asarray(first.asi8)


def _without(heading: str, found: re.Match[str]) -> str:
    rest = f"{heading[: found.start()]} {heading[found.end() :]}"
    return re.sub(r"[(\[]\s*[)\]]", "", rest).strip()


def _offset_name(sign: str, hours: str, minutes: str | None) -> str | None:
    if int(hours) > 14 or int(minutes or 0) > 59:
        return None
    if int(hours) == 0 == int(minutes or 0):
        return "UTC"
    return f"UTC{'+' if sign == '+' else '-'}{int(hours):02}:{minutes or '00'}"


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}
