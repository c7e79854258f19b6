"""The versions with which a backtest ran."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import version

_PACKAGES = ("lumibot", "duckdb", "lumibot-duckdb", "pandas")


def versions_of_run() -> dict[str, str]:
    """Return the versions of Python and of the main packages."""
    return {"python": sys.version.split()[0], **_versions()}


@cache
def _versions() -> dict[str, str]:
    return {package: version(package) for package in _PACKAGES}
