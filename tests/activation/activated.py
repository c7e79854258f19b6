"""Our sources in the place of Lumibot's for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lumibot_duckdb import activate, deactivate


@contextmanager
def activated(wanted: bool = True) -> Iterator[None]:
    """Stand where `activate()` was called, if that is wanted."""
    if wanted:
        activate()
    try:
        yield
    finally:
        deactivate()
