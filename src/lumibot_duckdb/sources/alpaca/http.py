"""How Alpaca is asked: politely, within time limits, and what its errors and those of its clients mean."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from alpaca.common.exceptions import APIError
from alpaca.common.rest import RESTClient
from requests.adapters import HTTPAdapter

from lumibot_duckdb.sources.shared.errors import InvalidKeyError, PlanLimitError, ProviderError
from lumibot_duckdb.sources.shared.retry import Trouble, seconds_of

NAME = "Alpaca"
_TIME_LIMITS = (10.0, 30.0)  # seconds to connect, and between two bytes; the clients have none of their own
_MINUTE = 60.0
_PASSING = frozenset({408, 425, 499})  # and everything from 500 up
_LONGEST_QUOTE = 300


class Throttle:
    """Lets no more than `most` requests go in a minute; the others wait. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._recent: deque[float] = deque()
        self._guard = threading.Lock()

    def wait(self) -> None:
        """Return when another request may go."""
        while True:
            with self._guard:
                now = time.monotonic()
                while self._recent and now - self._recent[0] >= _MINUTE:
                    self._recent.popleft()
                if len(self._recent) < self._most:
                    self._recent.append(now)
                    return
                left = _MINUTE - (now - self._recent[0])
            time.sleep(left)


class _PoliteAdapter(HTTPAdapter):
    """Sends each request, pages too, when the throttle lets it go, and with time limits."""

    def __init__(self, throttle: Throttle, connections: int) -> None:
        super().__init__(pool_maxsize=connections)
        self._throttle = throttle

    def send(self, request: Any, *arguments: Any, **settings: Any) -> requests.Response:
        """Send a request."""
        self._throttle.wait()
        settings["timeout"] = settings.get("timeout") or _TIME_LIMITS
        return super().send(request, *arguments, **settings)


def make_polite(client: RESTClient, throttle: Throttle, connections: int) -> None:
    """Have a client send all its requests through a throttle, and never sleep and try again by itself."""
    client._retry = 0
    for scheme in ("https://", "http://"):
        client._session.mount(scheme, _PoliteAdapter(throttle, connections))


def understood(error: Exception, secrets: Sequence[str]) -> Trouble | None:
    """Return what an exception of a client means; None for one that is not about the request."""
    if isinstance(error, APIError):
        return _of_answer(error, secrets)
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return Trouble("answered with something that is no JSON")
    if isinstance(error, requests.RequestException):
        return Trouble(_told(error))
    if isinstance(error, (ValueError, KeyError, TypeError, AttributeError)):
        return Trouble("gave an answer that could not be understood")
    return None


def _of_answer(error: APIError, secrets: Sequence[str]) -> Trouble:
    response = error.response
    status = 0 if response is None else int(response.status_code)
    headers: Mapping[str, str] = {} if response is None else response.headers
    what = f"answered with HTTP status {status}"
    if status == 429:
        return Trouble(what, limited=True, retry_after=_asked_to_wait(headers))
    if status >= 500 or status in _PASSING:
        return Trouble(what, retry_after=_asked_to_wait(headers))
    return Trouble(what, refusal=_refusal(status, _message(str(error), secrets)))


def _refusal(status: int, message: str) -> ProviderError:
    said = f" (Alpaca says: {message.rstrip('.')})" if message else ""
    text = message.lower()
    if status == 403 and ("permit" in text or "subscription" in text or "entitle" in text):
        return PlanLimitError(
            f"The Alpaca plan behind the API key does not include this{said}: end the backtest a day earlier, or "
            "choose a larger plan."
        )
    if status in (401, 403):
        return InvalidKeyError(
            f"Alpaca does not accept the API key{said}: compare API_KEY and API_SECRET (or OAUTH_TOKEN) of the config, "
            "or ALPACA_API_KEY and ALPACA_API_SECRET, with what the account at alpaca.markets shows."
        )
    return ProviderError(f"Alpaca answered with HTTP status {status}{said}: check the symbol and the dates.")


def _message(body: str, secrets: Sequence[str]) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    text = str(answer.get("message") or "") if isinstance(answer, dict) else ""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text[:_LONGEST_QUOTE]


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Alpaca asks for: by `Retry-After`, or by the moment at which the limit is set back."""
    asked = seconds_of(headers.get("Retry-After"))
    if asked is not None:
        return asked
    try:
        return max(float(headers["X-RateLimit-Reset"]) - time.time(), 0.0)
    except (KeyError, ValueError):
        return None


def _told(error: requests.RequestException) -> str:
    """Say what went wrong with a connection in words of our own."""
    if isinstance(error, requests.exceptions.SSLError):
        return "could not be reached safely (its certificate was not accepted)"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "broke the connection off in mid-answer"
    if isinstance(error, requests.ConnectionError):
        return "could not be reached"
    return "could not be asked"
