"""Requests to Polygon: its rate limit, retries, and what its errors mean.

The official client discards what a patient client needs (the status, `Retry-After`), sleeps where it cannot be
interrupted, and never applies the time limits that it is given. `RetryingPool` takes the place of the client's
connection pool, so that every request of every method of the client is sent from here. How a rate limit is shared by
threads is in `sources/shared/rate_limit.py`, how requests are repeated in `sources/shared/retry.py`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from polygon import RESTClient
from urllib3.exceptions import HTTPError, MaxRetryError

from lumibot_duckdb.sources.retry_policy import RetryPolicy, retry_after_seconds
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, PlanLimitError, ProviderError, RateLimitedError
from lumibot_duckdb.sources.shared.http_errors import (
    TOO_MANY_REQUESTS,
    describe_connection_error,
    is_transient,
    json_object,
    quotable,
    quote_of,
    request_error,
)
from lumibot_duckdb.sources.shared.rate_limit import RateLimit
from lumibot_duckdb.sources.shared.retry import RequestFailedError, RequestFailure, call_with_retries

NAME = "Polygon"

_ALSO_TRANSIENT = (413,)

# Only `call_with_retries` repeats requests, not urllib3. Redirects are followed as the client does.
_NO_RETRIES = urllib3.Retry(connect=False, read=False, redirect=3, status=0, other=0, respect_retry_after_header=False)


@dataclass(frozen=True)
class Answer:
    """A successful answer: its JSON object, and what the official client reads before it returns a raw answer."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class PolygonRateLimit(RateLimit):
    """The rate limit of a Polygon plan, with the pauses and bounds of Lumibot's environment variables.

    POLYGON_WAIT_SECONDS_RETRY sets the pause where Polygon does not request one. POLYGON_MAX_RETRY_ATTEMPTS and
    POLYGON_MAX_RETRY_SLEEP_SECONDS bound how often and how long one request waits; 0 or unset: without bound.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        super().__init__(policy, owner="the Polygon plan", advice="a larger plan has no such limit")

    def pause_after(self, rejections: int, retry_after: float | None) -> float:
        """Return the seconds to pause: as Polygon requests, else as the environment says, else growing."""
        requested = retry_after is not None and (retry_after > 0 or rejections <= 1)
        if not requested and (fixed := _integer_setting("POLYGON_WAIT_SECONDS_RETRY")):
            return float(fixed)
        return super().pause_after(rejections, retry_after)

    def longest_wait(self, waits: int, waited: float) -> float:
        """Return the seconds that one request may still wait.

        Raises:
            RateLimitedError: a bound of the environment is reached.
            ProviderError: a variable is not a whole number.
        """
        attempts = _integer_setting("POLYGON_MAX_RETRY_ATTEMPTS")
        seconds = _integer_setting("POLYGON_MAX_RETRY_SLEEP_SECONDS")
        if attempts and waits > attempts:
            raise _still_limited(f"{attempts} attempts", "POLYGON_MAX_RETRY_ATTEMPTS")
        if seconds and waited >= seconds:
            raise _still_limited(f"{seconds} seconds", "POLYGON_MAX_RETRY_SLEEP_SECONDS")
        return seconds - waited if seconds else float("inf")


class RetryingPool:
    """Takes the place of the connection pool of a `RESTClient`, and repeats requests until they are answered."""

    def __init__(self, client: RESTClient, limit: RateLimit, stop: threading.Event | None) -> None:
        self._pool = client.client
        self._timeout = client.timeout
        self._key = str(client.API_KEY)
        self._limit = limit
        self._stop = stop

    def request(
        self, method: str, url: str, fields: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return a successful answer.

        Raises:
            InvalidKeyError, PlanLimitError: Polygon refused the request.
            RateLimitedError: a bound of the environment is reached.
            ProviderUnavailableError: every attempt failed.
            ProviderError: Polygon finds the request wrong.
            StoppedError: the download was stopped.
        """
        return call_with_retries(
            lambda: self._send(method, url, fields, headers), self._limit, name=NAME, stop=self._stop
        )

    def _send(
        self, method: str, url: str, fields: Mapping[str, Any] | None, headers: Mapping[str, str] | None
    ) -> Answer:
        """Send a request once. No error is chained to one of urllib3, which may quote the request."""
        try:
            response = self._pool.request(
                method, url, fields=fields, headers=headers, timeout=self._timeout, retries=_NO_RETRIES
            )
        except HTTPError as error:
            cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
            failure = RequestFailure(
                describe_connection_error(cause, "closed the connection before the answer was complete")
            )
        else:
            body = json_object(response.data)
            if response.status == 200 and body is not None and _is_success(body):
                return Answer(response.status, response.headers, body)
            failure = self._failure(response.status, response.headers.get("Retry-After"), body)
        raise RequestFailedError(failure)

    def _failure(self, status: int, retry_after: str | None, body: Mapping[str, Any] | None) -> RequestFailure:
        if status == 200 and body is None:
            return RequestFailure("did not answer with a JSON object")
        rate_limited = status == TOO_MANY_REQUESTS
        return RequestFailure(
            f"answered with HTTP status {status}",
            rate_limited=rate_limited,
            retry_after=retry_after_seconds(retry_after),
            refusal=None
            if rate_limited or is_transient(status, _ALSO_TRANSIENT)
            else _refusal(status, quotable(_message_in(body or {}), [self._key])),
        )


def _is_success(body: Mapping[str, Any]) -> bool:
    return "results" in body or body.get("status") in (None, "OK", "DELAYED")


def _message_in(body: Mapping[str, Any]) -> str:
    return str(body.get("error") or body.get("message") or body.get("status") or "")


def _refusal(status: int, message: str) -> ProviderError:
    """Return the error for a request that Polygon will always refuse."""
    quote = quote_of(NAME, message)
    text = message.lower()
    if status == 401 or "api key" in text:
        return InvalidKeyError(
            f"Polygon does not accept the API key{quote}: compare POLYGON_API_KEY, or the key that was passed, "
            "with the one that the account at polygon.io shows."
        )
    if status == 403 or "not_authorized" in text or "not entitled" in text:
        return PlanLimitError(
            f"The Polygon plan behind the API key does not include this{quote}: ask for later days, or choose a larger "
            "plan."
        )
    return request_error(NAME, status, message)


def _still_limited(bound: str, variable: str) -> RateLimitedError:
    return RateLimitedError(
        f"The rate limit of the Polygon plan did not end within {bound}: try again later, raise {variable} or unset "
        "it, or choose a larger plan."
    )


def _integer_setting(name: str) -> int:
    """Return a whole number from the environment; 0 if it is unset."""
    text = os.environ.get(name, "").strip()
    if not text.isdigit() and text:
        raise ProviderError(f"{name} must be a whole number, not {text!r}: correct it or unset it.")
    return int(text or 0)
