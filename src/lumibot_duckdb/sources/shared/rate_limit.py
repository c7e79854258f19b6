"""Rate limits of providers. All threads that send requests to a provider share one `RateLimit`.

What counts as a rejection, and how long a provider wants us to wait, is in each provider's `http.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from lumibot_duckdb.sources.retry_policy import RetryPolicy, exponential_pause
from lumibot_duckdb.sources.shared.outage import Outage

logger = logging.getLogger(__name__)

_POLL_INTERVAL = 0.05  # seconds between two looks at whether the wait is over
_MINUTE = 60.0


class StoppedError(Exception):
    """The download was stopped, so nobody waits for this request any more. Never leaves this package."""


@dataclass
class RateLimit:
    """A provider's rate limit: after one request is rejected, all threads hold back their requests.

    When the pause ends, one thread sends its request as a probe, and the others continue once it is answered.
    Subclasses may override `pause_after` and `longest_wait`.

    Parameters:
        policy: how long to pause, and how often to log.
        owner: whose limit it is, for the log ("the Polygon plan").
        advice: how the user can avoid it, for the log.
        outage: whether the provider answers at all.
    """

    policy: RetryPolicy
    owner: str
    advice: str = ""
    outage: Outage = field(default_factory=Outage)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rejected_at: float = 0.0
    _held_until: float = 0.0
    _rejections: int = 0
    _logged_at: float | None = None

    def wait(self, stop: threading.Event) -> None:
        """Return when the next request may be sent.

        Raises:
            StoppedError: `stop` was set meanwhile.
        """
        while not stop.is_set():
            with self._lock:
                now = time.monotonic()
                remaining = self._held_until - now
                if remaining <= 0:
                    if self._rejections:  # this thread probes; hold the others for a little longer
                        self._held_until = now + self.policy.limit_pause
                    return
            stop.wait(min(remaining, _POLL_INTERVAL))
        raise StoppedError

    def record_rejection(self, sent: float, retry_after: float | None, longest: float) -> float:
        """Start a pause because a request was rejected.

        Parameters:
            sent: `time.monotonic()` when the request was sent.
            retry_after: the pause that the provider requests, in seconds; None if it does not state one.
            longest: bound of the pause, in seconds.

        Returns:
            the pause, in seconds.
        """
        with self._lock:
            now = time.monotonic()
            is_new = sent >= self._rejected_at  # otherwise it was under way when another request was rejected
            self._rejections += is_new
            pause = min(self.pause_after(self._rejections, retry_after), longest)
            if is_new:
                self._rejected_at, self._held_until = now, now + pause
            else:
                self._held_until = max(self._held_until, now + pause)
            self._log(now, pause, requested=retry_after is not None)
            return pause

    def record_success(self, sent: float) -> None:
        """End the pause because a request that was sent at `sent` (`time.monotonic()`) was answered."""
        with self._lock:
            if self._rejections and sent >= self._rejected_at:
                self._rejections = 0
                self._held_until = 0.0

    def pause_after(self, rejections: int, retry_after: float | None) -> float:
        """Return the seconds to pause after so many rejections in a row; the provider requested `retry_after`."""
        if retry_after is not None and (retry_after > 0 or rejections <= 1):
            return retry_after
        return exponential_pause(self.policy.limit_pause, rejections, self.policy.longest_pause)

    def longest_wait(self, waits: int, waited: float) -> float:
        """Return the seconds that one request may still wait, after `waits` waits of `waited` seconds in all.

        Raises:
            RateLimitedError: the request has waited for too long. (Without an override, it waits without bound.)
        """
        return float("inf")

    def _log(self, now: float, pause: float, *, requested: bool) -> None:
        if self._logged_at is not None and now - self._logged_at < self.policy.log_interval:
            return
        self._logged_at = now
        logger.warning(
            "The rate limit of %s is reached: waiting %.3g seconds%s before the next request. "
            "The download takes longer, but nothing will be missing%s.",
            self.owner,
            pause,
            " as requested" if requested else "",
            f"; {self.advice}" if self.advice else "",
        )


class Throttle:
    """Lets at most `per_minute` requests through in any minute and delays the others. Thread-safe."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = max(1, per_minute)
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may be sent."""
        while True:
            with self._lock:
                now = time.monotonic()
                while self._recent and now - self._recent[0] >= _MINUTE:
                    self._recent.popleft()
                if len(self._recent) < self._per_minute:
                    self._recent.append(now)
                    return
                remaining = _MINUTE - (now - self._recent[0])
            time.sleep(remaining)
