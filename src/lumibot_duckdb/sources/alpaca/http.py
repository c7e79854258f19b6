"""Requests to Alpaca: its rate limit, time limits, and what its errors mean.

`Throttle` keeps below the rate limit; how a limit that is reached nevertheless is shared by threads is in
`sources/shared/rate_limit.py`, how requests are repeated in `sources/shared/retry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests
from alpaca.common.exceptions import APIError
from alpaca.common.rest import RESTClient
from requests.adapters import HTTPAdapter

from lumibot_duckdb import clock
from lumibot_duckdb.sources.retry_policy import RetryPolicy, retry_after_seconds
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, PlanLimitError, ProviderError
from lumibot_duckdb.sources.shared.http_errors import (
    TOO_MANY_REQUESTS,
    describe_connection_error,
    is_transient,
    json_object,
    quotable,
    quote_of,
    request_error,
)
from lumibot_duckdb.sources.shared.provider_clock import ProviderClock
from lumibot_duckdb.sources.shared.rate_limit import RateLimit, Throttle
from lumibot_duckdb.sources.shared.retry import RequestFailure

NAME = "Alpaca"

_TIMEOUTS = (10.0, 30.0)  # seconds to connect, and between two bytes; the clients have no time limits


class AlpacaRateLimit(RateLimit):
    """The rate limit of an Alpaca plan."""

    def __init__(self, policy: RetryPolicy) -> None:
        super().__init__(policy, owner="the Alpaca plan", advice="a larger plan allows more requests")


class _ThrottledAdapter(HTTPAdapter):
    """Sends every request, including those for further pages, through a throttle and with time limits."""

    def __init__(self, throttle: Throttle, connections: int, provider_clock: ProviderClock) -> None:
        super().__init__(pool_maxsize=connections)
        self._throttle = throttle
        self._clock = provider_clock

    def send(self, request: Any, *arguments: Any, **settings: Any) -> requests.Response:
        """Send a request."""
        self._throttle.wait()
        settings["timeout"] = settings.get("timeout") or _TIMEOUTS
        response = super().send(request, *arguments, **settings)
        self._clock.note(response.headers)
        return response


def throttle_client(client: RESTClient, throttle: Throttle, connections: int, provider_clock: ProviderClock) -> None:
    """Make a client send all its requests through a throttle, and never sleep and repeat them on its own.

    `provider_clock` notes the dates of the answers.
    """
    client._retry = 0
    for scheme in ("https://", "http://"):
        client._session.mount(scheme, _ThrottledAdapter(throttle, connections, provider_clock))


def explain(error: Exception, secrets: Sequence[str]) -> RequestFailure | None:
    """Return what an exception of a client means; None if it is not about the request."""
    if isinstance(error, APIError):
        return _explain_answer(error, secrets)
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return RequestFailure("did not answer with JSON")
    if isinstance(error, requests.RequestException):
        return RequestFailure(describe_connection_error(error, "could not be queried"))
    if isinstance(error, (ValueError, KeyError, TypeError, AttributeError)):
        return RequestFailure("gave an answer that could not be read")
    return None


def _explain_answer(error: APIError, secrets: Sequence[str]) -> RequestFailure:
    response = error.response
    status = 0 if response is None else int(response.status_code)
    headers: Mapping[str, str] = {} if response is None else response.headers
    reason = f"answered with HTTP status {status}"
    rate_limited = status == TOO_MANY_REQUESTS
    if rate_limited or is_transient(status):
        return RequestFailure(reason, rate_limited=rate_limited, retry_after=_requested_pause(headers))
    message = str((json_object(str(error)) or {}).get("message") or "")
    return RequestFailure(reason, refusal=_refusal(status, quotable(message, secrets)))


def _refusal(status: int, message: str) -> ProviderError:
    """Return the error for a request that Alpaca will always refuse."""
    quote = quote_of(NAME, message)
    text = message.lower()
    if status == 403 and ("permit" in text or "subscription" in text or "entitle" in text):
        return PlanLimitError(
            f"The Alpaca plan behind the API key does not include this{quote}: end the backtest a day earlier, or "
            "choose a larger plan."
        )
    if status in (401, 403):
        return InvalidKeyError(
            f"Alpaca does not accept the API key{quote}: compare API_KEY and API_SECRET (or OAUTH_TOKEN) of the "
            "config, or ALPACA_API_KEY and ALPACA_API_SECRET, with what the account at alpaca.markets shows."
        )
    return request_error(NAME, status, message)


def _requested_pause(headers: Mapping[str, str]) -> float | None:
    """Return the pause that Alpaca requests, in seconds: by `Retry-After`, or by the time when the limit is reset."""
    requested = retry_after_seconds(headers.get("Retry-After"))
    if requested is not None:
        return requested
    try:
        return max(float(headers["X-RateLimit-Reset"]) - clock.utc_now().timestamp(), 0.0)
    except (KeyError, ValueError):
        return None
