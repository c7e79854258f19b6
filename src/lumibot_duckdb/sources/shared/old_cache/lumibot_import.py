"""Imports Lumibot without side effects, when a file is read that needs it.

When it is imported, Lumibot prints a line, and unless `IS_BACKTESTING` is set, it connects to the broker whose keys are
in the environment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

_BACKTESTING = "IS_BACKTESTING"


@contextmanager
def lumibot_silent() -> Iterator[None]:
    """Import modules that import Lumibot within this `with` block."""
    level, before = logging.root.manager.disable, os.environ.get(_BACKTESTING)
    logging.disable(max(level, logging.INFO))
    os.environ[_BACKTESTING] = "true"
    try:
        yield
    finally:
        logging.disable(level)
        del os.environ[_BACKTESTING]
        if before is not None:
            os.environ[_BACKTESTING] = before
