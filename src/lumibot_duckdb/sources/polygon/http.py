"""How a request to Polygon is sent until it is answered: rate limits, faults, refusals, and a key that nobody sees.

The official client raises away what a polite client needs (the status, `Retry-After`), sleeps where it cannot be woken,
and keeps time limits that it never applies. `PatientPool` stands where the client has its connection pool, so that
every request of every method of the client goes through one place that knows better.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
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

from lumibot_duckdb.sources.shared.errors import (
    InvalidKeyError,
    PlanLimitError,
    ProviderError,
    RateLimitedError,
)
from lumibot_duckdb.sources.shared.retry import Patience, RateLimit, Trouble, patiently, seconds_of

TOO_MANY_REQUESTS = 429
_PASSING_STATUSES = frozenset({408, 413, 425, 499})  # and everything from 500 up
_LONGEST_QUOTE = 300

# One place decides what is tried again, and that is not urllib3. Redirects are followed as the client does.
_ONCE = urllib3.Retry(connect=False, read=False, redirect=3, status=0, other=0, respect_retry_after_header=False)


@dataclass(frozen=True)
class Answer:
    """A good answer with its JSON object, and with what the client looks at before it hands a raw answer on."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class _NoAnswerError(Exception):
    """A request that was not answered in a way that can be used."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.what)
        self.trouble = trouble


class PolygonRateLimit(RateLimit):
    """The rate limit of a Polygon plan, with the pause that Lumibot's users may have set."""

    def __init__(self, patience: Patience) -> None:
        super().__init__(patience, of="the Polygon plan", advice="a larger plan has no such limit")

    def pause(self, retry_after: float | None, refusals: int) -> float:
        """Return the seconds to wait: what Polygon asks for, else what the environment says, else longer each time."""
        asked = retry_after is not None and (retry_after > 0 or refusals <= 1)
        if not asked and (fixed := _setting("POLYGON_WAIT_SECONDS_RETRY")):
            return float(fixed)
        return super().pause(retry_after, refusals)


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
        return patiently(
            lambda: self._send(method, url, fields, headers),
            lambda error: error.trouble if isinstance(error, _NoAnswerError) else None,
            self._limit,
            self._stop,
            name="Polygon",
            bound=_what_is_left,
        )

    def _send(
        self, method: str, url: str, fields: Mapping[str, Any] | None, headers: Mapping[str, str] | None
    ) -> Answer:
        """Send a request once. Nothing that urllib3 raises leaves: it may quote the request, and be chained."""
        try:
            response = self._pool.request(
                method, url, fields=fields, headers=headers, timeout=self._timeout, retries=_ONCE
            )
        except HTTPError as error:
            trouble = Trouble(_told(error))
        else:
            body = _json_object(response.data)
            if response.status == 200 and body is not None and _is_good(body):
                return Answer(response.status, response.headers, body)
            trouble = self._trouble(response.status, response.headers.get("Retry-After"), body)
        raise _NoAnswerError(trouble)

    def _trouble(self, status: int, retry_after: str | None, body: Mapping[str, Any] | None) -> Trouble:
        if status == 200 and body is None:
            return Trouble("answered with something that is no JSON object")
        passing = status in _PASSING_STATUSES or status >= 500
        return Trouble(
            f"answered with HTTP status {status}",
            limited=status == TOO_MANY_REQUESTS,
            retry_after=seconds_of(retry_after),
            refusal=None if passing or status == TOO_MANY_REQUESTS else _refusal(status, self._quotable(body or {})),
        )

    def _quotable(self, body: Mapping[str, Any]) -> str:
        text = str(body.get("error") or body.get("message") or body.get("status") or "")
        return (text.replace(self._key, "…") if self._key else text)[:_LONGEST_QUOTE]


def _is_good(body: Mapping[str, Any]) -> bool:
    return "results" in body or body.get("status") in (None, "OK", "DELAYED")


def _refusal(status: int, message: str) -> ProviderError:
    """Return the error for a request that is refused however often it is sent."""
    message = message.rstrip(".")
    said = f" (Polygon says: {message})" if message else ""
    text = message.lower()
    if status == 401 or "api key" in text:
        return InvalidKeyError(
            f"Polygon does not accept the API key{said}: compare POLYGON_API_KEY, or the key that was passed, "
            "with the one that the account at polygon.io shows."
        )
    if status == 403 or "not_authorized" in text or "not entitled" in text:
        return PlanLimitError(
            f"The Polygon plan behind the API key does not include this{said}: ask for later days, or choose a larger "
            "plan."
        )
    return ProviderError(f"Polygon answered with HTTP status {status}{said}: check the symbol and the dates.")


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
