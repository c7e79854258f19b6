"""The Lumibot releases that the contract knows."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

KNOWN_RELEASES = (
    "4.6.19",
    "4.6.20",
    "4.6.22",
    "4.6.23",
    "4.6.24",
    "4.6.25",
    "4.6.26",
    "4.6.27",
    "4.6.28",
    "4.6.29",
    "4.6.30",
)
"""Published releases that keep the contract of every source, the oldest first."""


@cache
def installed_release() -> str:
    """Return the version of the installed Lumibot, "unknown" if it has none."""
    try:
        return version("lumibot")
    except PackageNotFoundError:
        return "unknown"


def known_releases() -> str:
    """Return the known releases in words: "4.6.25 to 4.6.30", or a single one."""
    first, last = KNOWN_RELEASES[0], KNOWN_RELEASES[-1]
    return first if first == last else f"{first} to {last}"
