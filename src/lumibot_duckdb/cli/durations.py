"""Durations in options."""

from __future__ import annotations

import argparse
import re

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def duration(text: str) -> int:
    """Return a duration in seconds. Raises `argparse.ArgumentTypeError`.

    >>> duration("6h30m")
    23400
    """
    found = _FORM.fullmatch(text.strip().lower())
    parts = found.groups() if found else ()
    seconds = sum(int(number or 0) * unit for number, unit in zip(parts, _SECONDS.values(), strict=False))
    if seconds < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration: write days, hours, minutes, seconds as 6h30m or 90s"
        )
    return seconds
