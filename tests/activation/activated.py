"""Replaces Lumibot's sources with ours during a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lumibot_duckdb import activate, deactivate


@contextmanager
def activated(wanted: bool = True) -> Iterator[None]:
    """Run the block with `activate()` in effect, if that is wanted."""
    if wanted:
        activate()
    try:
        yield
    finally:
        deactivate()
