"""Days and epoch seconds, for provider clients, which do not import the storage."""

from __future__ import annotations

from datetime import date, datetime, tzinfo


def date_of(seconds: int, zone: tzinfo) -> date:
    """Return the calendar day of a time zone that a moment (epoch seconds) falls on."""
    return datetime.fromtimestamp(seconds, zone).date()


def midnight(day: date, zone: tzinfo) -> int:
    """Return the epoch seconds at which a calendar day of a time zone begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
