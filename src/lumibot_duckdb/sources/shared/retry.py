"""How a provider is called until it answers: rate limits kept by all requests together, passing faults, refusals."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar

from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_LOOK_UP = 0.05  # seconds after which one that waits looks whether it still has to


@dataclass(frozen=True)
class Patience:
    """How long a provider waits, in seconds.

    A rate limit that does not say how long it lasts is waited for `limit_pause`, then twice that and so on up to
    `longest_pause`: with the defaults, the fifth pause ends a minute after the first refusal. What fails is tried
    `attempts` times in all, with pauses that begin at `fault_pause` and double. What is going on is told at the first
    refusal, and then at most every `tell_every` seconds.
    """

    limit_pause: float = 2.0
    fault_pause: float = 0.5
    longest_pause: float = 60.0
    attempts: int = 5
    tell_every: float = 300.0


@dataclass(frozen=True)
class Trouble:
    """Why a call was not answered. `what` completes the sentence "Polygon …".

    `limited`: there were too many requests. `refusal`: it is not worth trying again, this is to be raised.
    """

    what: str
    limited: bool = False
    retry_after: float | None = None
    refusal: ProviderError | None = None


class StoppedError(Exception):
    """Nobody waits for the answer any more."""


@dataclass
class RateLimit:
    """What all requests to a provider know of its rate limit: when one is told to wait, the others hold back, too.

    After the wait, one goes ahead and tries; the others follow when it was answered. `of` says whose limit it is, and
    `advice` what is told besides when it is reached.
    """

    patience: Patience
    of: str
    advice: str = ""
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _held_at: float = 0.0
    _held_until: float = 0.0
    _in_a_row: int = 0
    _told_at: float | None = None

    def wait(self, stop: threading.Event) -> None:
        """Return when the next request may be sent. Raises `StoppedError` when it no longer needs to be."""
        while not stop.is_set():
            with self._guard:
                now = time.monotonic()
                left = self._held_until - now
                if left <= 0:
                    if self._in_a_row:
                        self._held_until = now + self.patience.limit_pause
                    return
            stop.wait(min(left, _LOOK_UP))
        raise StoppedError

    def refused(self, sent: float, retry_after: float | None, longest: float) -> float:
        """Take note that a request sent at `sent` was one too many; return the pause, at most `longest` seconds."""
        with self._guard:
            now = time.monotonic()
            first = sent >= self._held_at  # the others were under way when it was refused
            self._in_a_row += first
            pause = min(self.pause(retry_after, self._in_a_row), longest)
            if first:
                self._held_at, self._held_until = now, now + pause
            else:
                self._held_until = max(self._held_until, now + pause)
            if self._told_at is None or now - self._told_at >= self.patience.tell_every:
                self._told_at = now
                logger.warning(
                    "The rate limit of %s is reached: waiting %.3g seconds%s, then going on. "
                    "A download is slower for it, not incomplete%s.",
                    self.of,
                    pause,
                    "" if retry_after is None else ", as it asks",
                    f"; {self.advice}" if self.advice else "",
                )
            return pause

    def answered(self, sent: float) -> None:
        """Take note that a request sent at `sent` was answered."""
        with self._guard:
            if self._in_a_row and sent >= self._held_at:
                self._in_a_row = 0
                self._held_until = 0.0

    def pause(self, retry_after: float | None, refusals: int) -> float:
        """Return the seconds to wait after so many refusals in a row, the last of which asked for `retry_after`."""
        if retry_after is not None and (retry_after > 0 or refusals <= 1):
            return retry_after
        return doubled(self.patience.limit_pause, refusals, self.patience.longest_pause)


def no_bound(waits: int, waited: float) -> float:
    """Return the seconds that a request may still wait for a rate limit to end: as long as it takes."""
    return float("inf")


def patiently(
    call: Callable[[], Result],
    understand: Callable[[Exception], Trouble | None],
    limit: RateLimit,
    stop: threading.Event,
    *,
    name: str,
    bound: Callable[[int, float], float] = no_bound,
) -> Result:
    """Call a provider (`name`) until it answers, and return the answer.

    `understand` says what an exception means; one that it knows nothing of is raised as it is. Of the others nothing
    leaves: they may quote a request with its key. `bound` is given how often and how long (seconds) this call has
    waited for the rate limit, and returns how long it may still wait, or raises.

    Raises:
        ProviderUnavailableError: every attempt failed.
        StoppedError: nobody waits for the answer any more.
        ProviderError: what `understand` or `bound` say.
    """
    patience = limit.patience
    faults = waits = 0
    waited = 0.0
    while True:
        limit.wait(stop)
        sent = time.monotonic()
        try:
            answer = call()
        except Exception as error:
            trouble = understand(error)
            if trouble is None:
                raise
        else:
            limit.answered(sent)
            return answer
        if trouble.refusal is not None:
            raise trouble.refusal
        if trouble.limited:
            waits += 1
            waited += limit.refused(sent, trouble.retry_after, bound(waits, waited))
            continue
        faults += 1
        if faults >= patience.attempts:
            raise ProviderUnavailableError(
                f"{name} {trouble.what}, {faults} times in a row: try again later, and look at the network connection "
                "if that does not help."
            )
        pause = trouble.retry_after or doubled(patience.fault_pause, faults, patience.longest_pause)
        if stop.wait(min(pause, patience.longest_pause)):
            raise StoppedError


def doubled(first: float, count: int, longest: float) -> float:
    """Return the pause after the count-th time: each is twice the one before."""
    return min(first * 2.0 ** min(max(count, 1) - 1, 30), longest)


def seconds_of(retry_after: str | None) -> float | None:
    """Return what a Retry-After header asks for, which may be seconds or a date; None for neither."""
    if retry_after is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", retry_after):
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=timezone.utc)
    return max((until - datetime.now(timezone.utc)).total_seconds(), 0.0)
