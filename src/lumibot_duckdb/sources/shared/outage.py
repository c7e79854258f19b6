"""Notices that a provider has stopped answering, so that not every request of a run waits for it."""

from __future__ import annotations

import threading
import time


class Outage:
    """Whether a provider answers nothing: all attempts of a request failed, and no request was answered since it began.

    While that lasts, requests are sent once. So a run without a network, which the stored bars may serve, pauses for
    its first request only, and the first answer ends the outage. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered_at = 0.0
        self._lasts = False

    @property
    def lasts(self) -> bool:
        """Whether there is an outage now."""
        return self._lasts

    def record_answer(self) -> None:
        """End the outage, because a request was answered."""
        with self._lock:
            self._answered_at = time.monotonic()
            self._lasts = False

    def record_failure(self, began: float) -> None:
        """Begin an outage: a request failed that began at this `time.monotonic()`, and none was answered since."""
        with self._lock:
            self._lasts = self._answered_at < began
