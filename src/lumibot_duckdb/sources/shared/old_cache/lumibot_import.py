"""Lumibot imported only when a file is read that needs it, and without what it does besides.

It prints a line, and connects to the broker whose keys stand in the environment, unless it is told to be backtesting.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

_BACKTESTING = "IS_BACKTESTING"


@contextmanager
def lumibot_silent() -> Iterator[None]:
    """Import in here what imports Lumibot."""
    level, told = logging.root.manager.disable, os.environ.get(_BACKTESTING)
    logging.disable(max(level, logging.INFO))
    os.environ[_BACKTESTING] = "true"
    try:
        yield
    finally:
        logging.disable(level)
        del os.environ[_BACKTESTING]
        if told is not None:
            os.environ[_BACKTESTING] = told
