"""The clock, which all code of this package reads that depends on the present time.

So a test that sets this clock sets it everywhere, and no two parts can disagree about which bars have closed. Durations
and pauses are measured by `time.monotonic` and `time.perf_counter` as usual.
"""

from __future__ import annotations

from datetime import date, datetime, timezone, tzinfo


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(timezone.utc)


def epoch_now() -> int:
    """Return the present moment in whole seconds since 1970, rounded down."""
    return int(utc_now().timestamp())


def today(zone: tzinfo | None = None) -> date:
    """Return the present day in a time zone; by default in the computer's own."""
    return utc_now().astimezone(zone).date()
