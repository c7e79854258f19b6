"""Lumibot imported without what it says of itself, and only when a file is read that needs it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lumibot_silent() -> Iterator[None]:
    """Import in here what imports Lumibot, which prints a line of its own then."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)
