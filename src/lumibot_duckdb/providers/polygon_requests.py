"""How a request to Polygon is sent until it is answered: rate limits, faults, refusals, and a key that nobody sees.

The official client raises away what a polite client needs (the status, `Retry-After`), sleeps where it cannot be woken,
and keeps time limits that it never applies. `PatientPool` stands where the client has its connection pool, so that
every request of every method of the client goes through one place that knows better.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3
from polygon import RESTClient
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from lumibot_duckdb.providers.errors import (
    InvalidKeyError,
    PlanLimitError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitedError,
)

logger = logging.getLogger(__name__)

TOO_MANY_REQUESTS = 429
_PASSING_STATUSES = frozenset({408, 413, 425, 499})  # and everything from 500 up
_LONGEST_QUOTE = 300
_LOOK_UP = 0.05  # seconds after which one that waits looks whether it still has to

# One place decides what is tried again, and that is not urllib3. Redirects are followed as the client does.
_ONCE = urllib3.Retry(connect=False, read=False, redirect=3, status=0, other=0, respect_retry_after_header=False)


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
class Answer:
    """A good answer with its JSON object, and with what the client looks at before it hands a raw answer on."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True)
class _Fault:
    """No answer that could be used. `what` completes the sentence "Polygon ..."."""

    what: str
    status: int | None = None
    retry_after: float | None = None
    message: str = ""
    passing: bool = True


class StoppedError(Exception):
    """Nobody waits for the answer any more."""


@dataclass
class RateLimit:
    """What all requests with one key know of its rate limit: when one is told to wait, the others hold back, too.

    After the wait, one goes ahead and tries; the others follow when it was answered.
    """

    patience: Patience
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
            pause = min(self._pause(retry_after), longest)
            if first:
                self._held_at, self._held_until = now, now + pause
            else:
                self._held_until = max(self._held_until, now + pause)
            if self._told_at is None or now - self._told_at >= self.patience.tell_every:
                self._told_at = now
                logger.warning(
                    "The rate limit of the Polygon plan is reached: waiting %.3g seconds%s, then going on. "
                    "A download is slower for it, not incomplete; a larger plan has no such limit.",
                    pause,
                    "" if retry_after is None else ", as Polygon asks",
                )
            return pause

    def answered(self, sent: float) -> None:
        """Take note that a request sent at `sent` was answered."""
        with self._guard:
            if self._in_a_row and sent >= self._held_at:
                self._in_a_row = 0
                self._held_until = 0.0

    def _pause(self, retry_after: float | None) -> float:
        if retry_after is not None and (retry_after > 0 or self._in_a_row <= 1):
            return retry_after
        if fixed := _setting("POLYGON_WAIT_SECONDS_RETRY"):
            return float(fixed)
        return _doubled(self.patience.limit_pause, self._in_a_row, self.patience.longest_pause)


class PatientPool:
    """Stands in for the connection pool of a `RESTClient`: sends a request until it is answered or is in vain."""

    def __init__(self, client: RESTClient, limit: RateLimit, stop: threading.Event) -> None:
        self._pool = client.client
        self._timeout = client.timeout
        self._key = str(client.API_KEY)
        self._limit = limit
        self._stop = stop

    def request(
        self, method: str, url: str, fields: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return a good answer.

        Raises:
            InvalidKeyError, PlanLimitError: Polygon refused.
            RateLimitedError: a bound that the environment sets was used up.
            ProviderUnavailableError: every attempt failed.
            ProviderError: Polygon found something wrong with the request.
            StoppedError: nobody waits for the answer any more.
        """
        patience = self._limit.patience
        faults = waits = 0
        waited = 0.0
        while True:
            self._limit.wait(self._stop)
            sent = time.monotonic()
            outcome = self._send(method, url, fields, headers)
            if isinstance(outcome, Answer):
                self._limit.answered(sent)
                return outcome
            if outcome.status == TOO_MANY_REQUESTS:
                waits += 1
                waited += self._limit.refused(sent, outcome.retry_after, _what_is_left(waits, waited))
            elif not outcome.passing:
                raise _refusal(outcome)
            else:
                faults += 1
                if faults >= patience.attempts:
                    raise ProviderUnavailableError(
                        f"Polygon {outcome.what}, {faults} times in a row: try again later, and look at the network "
                        "connection if that does not help."
                    )
                pause = outcome.retry_after or _doubled(patience.fault_pause, faults, patience.longest_pause)
                if self._stop.wait(min(pause, patience.longest_pause)):
                    raise StoppedError

    def _send(
        self, method: str, url: str, fields: Mapping[str, Any] | None, headers: Mapping[str, str] | None
    ) -> Answer | _Fault:
        """Send a request once. Nothing that urllib3 raises leaves: it may quote the request, and be chained."""
        try:
            response = self._pool.request(
                method, url, fields=fields, headers=headers, timeout=self._timeout, retries=_ONCE
            )
        except HTTPError as error:
            return _Fault(_told(error))
        body = _json_object(response.data)
        if response.status == 200:
            if body is None:
                return _Fault("answered with something that is no JSON object")
            if "results" in body or body.get("status") in (None, "OK", "DELAYED"):
                return Answer(response.status, response.headers, body)
        return _Fault(
            f"answered with HTTP status {response.status}",
            status=response.status,
            retry_after=_seconds(response.headers.get("Retry-After")),
            message=self._quotable(body or {}),
            passing=response.status in _PASSING_STATUSES or response.status >= 500,
        )

    def _quotable(self, body: Mapping[str, Any]) -> str:
        text = str(body.get("error") or body.get("message") or body.get("status") or "")
        return (text.replace(self._key, "…") if self._key else text)[:_LONGEST_QUOTE]


def _refusal(fault: _Fault) -> ProviderError:
    """Return the error for a request that is refused however often it is sent."""
    message = fault.message.rstrip(".")
    said = f" (Polygon says: {message})" if message else ""
    text = message.lower()
    if fault.status == 401 or "api key" in text:
        return InvalidKeyError(
            f"Polygon does not accept the API key{said}: compare POLYGON_API_KEY, or the key that was passed, "
            "with the one that the account at polygon.io shows."
        )
    if fault.status == 403 or "not_authorized" in text or "not entitled" in text:
        return PlanLimitError(
            f"The Polygon plan behind the API key does not include this{said}: ask for later days, or choose a larger "
            "plan."
        )
    return ProviderError(f"Polygon {fault.what}{said}: check the symbol and the dates.")


def _what_is_left(waits: int, waited: float) -> float:
    """Return the seconds that a request may still wait. Raises `RateLimitedError` if a bound is used up."""
    attempts, seconds = _setting("POLYGON_MAX_RETRY_ATTEMPTS"), _setting("POLYGON_MAX_RETRY_SLEEP_SECONDS")
    if attempts and waits > attempts:
        raise RateLimitedError(
            f"The rate limit of the Polygon plan did not end within {attempts} attempts: try again later, raise "
            "POLYGON_MAX_RETRY_ATTEMPTS or unset it, or choose a larger plan."
        )
    if seconds and waited >= seconds:
        raise RateLimitedError(
            f"The rate limit of the Polygon plan did not end within {seconds} seconds: try again later, raise "
            "POLYGON_MAX_RETRY_SLEEP_SECONDS or unset it, or choose a larger plan."
        )
    return seconds - waited if seconds else float("inf")


def _setting(name: str) -> int:
    """Return a whole number of the environment; 0 for none."""
    text = os.environ.get(name, "").strip()
    if not text.isdigit() and text:
        raise ProviderError(f"{name} must be a whole number, not {text!r}: correct it or unset it.")
    return int(text or 0)


def _doubled(first: float, count: int, longest: float) -> float:
    """Return the pause after the count-th time: each is twice the one before."""
    return min(first * 2.0 ** min(max(count, 1) - 1, 30), longest)


def _seconds(retry_after: str | None) -> float | None:
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


def _told(error: HTTPError) -> str:
    """Say what went wrong with a connection in words of our own."""
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, NameResolutionError):
        return "could not be found (its name does not resolve)"
    if isinstance(reason, (NewConnectionError, ConnectTimeoutError)):
        return "could not be reached"
    if isinstance(reason, ReadTimeoutError):
        return "did not answer in time"
    if isinstance(reason, SSLError):
        return "could not be reached safely (its certificate was not accepted)"
    return "broke the connection off in mid-answer"


def _json_object(data: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(data)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
