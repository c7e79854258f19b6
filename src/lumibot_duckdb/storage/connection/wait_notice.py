"""Says that this process waits for the store, and for whom, while the wait still lasts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

FOR_A_PROGRAM = 1.0
"""Seconds until a wait for another program is reported, which keeps the store until somebody closes it there."""
FOR_A_PROCESS = 5.0
"""The same for our own processes, which give way by themselves after their write."""


class WaitNotice:
    """One warning in the log about one wait, once it has lasted `seconds`."""

    def __init__(self, seconds: float, deadline: float) -> None:
        self._due = time.monotonic() + seconds
        self._deadline = deadline
        self._given = False

    def look(self, cause: Callable[[], str]) -> None:
        """Give the notice if it is time; `cause` returns what the wait is for."""
        now = time.monotonic()
        if not self._given and self._due <= now < self._deadline:
            self._given = True
            logger.warning("%s; waiting up to %.0f seconds", cause(), self._deadline - now)
