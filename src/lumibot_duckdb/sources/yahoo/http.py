"""Requests to Yahoo: its rate limit, and what the answers mean that `yfinance` hides.

How a rate limit is shared by threads is in `sources/shared/rate_limit.py`, how requests are repeated in
`sources/shared/retry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yfinance as yf

from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.errors import ProviderError, RateLimitedError, UnknownSymbolError
from lumibot_duckdb.sources.shared.http_errors import (
    TOO_MANY_REQUESTS,
    describe_connection_error,
    is_transient,
    json_object,
    quotable,
)
from lumibot_duckdb.sources.shared.rate_limit import RateLimit
from lumibot_duckdb.sources.shared.retry import RequestFailedError, RequestFailure

NAME = "Yahoo"
CHART, QUOTE = "/v8/finance/chart/", "/v7/finance/quote"

LONGEST_LIMIT = 900.0
"""Seconds that one request waits in all for Yahoo's rate limit to end; the limit may last for hours."""

_ALSO_TRANSIENT = (401, 403, 404)  # the next attempt makes new cookies and crumbs
_NO_BARS = "data doesn't exist for startdate"
_RATE_LIMITED = RequestFailure("allows no more requests for now", rate_limited=True)


class YahooRateLimit(RateLimit):
    """Yahoo's rate limit, which counts all requests from a network address."""

    def __init__(self, policy: RetryPolicy) -> None:
        advice = "Yahoo limits by network address, so other programs count as well"
        super().__init__(policy, owner=NAME, advice=advice)

    def longest_wait(self, waits: int, waited: float) -> float:
        """Return the seconds that one request may still wait.

        Raises:
            RateLimitedError: the request has waited for `LONGEST_LIMIT` seconds.
        """
        if waited >= LONGEST_LIMIT:
            raise RateLimitedError(
                f"Yahoo's rate limit did not end within {LONGEST_LIMIT / 60:.0f} minutes: try again later. It counts "
                "all requests from your network address."
            )
        return LONGEST_LIMIT - waited


class RecordedRequests:
    """Takes the place of a `yfinance` ticker's requests, and records their outcomes, which `yfinance` does not report.

    `yfinance` turns errors into empty frames, no matter whether a symbol is unknown or a server is down. It also caches
    errors like any other answer, which this class prevents.
    """

    def __init__(self, requests: Any) -> None:
        self._requests = requests
        self._outcomes: list[tuple[str, Any]] = []

    def get(self, url: str, *rest: Any, **settings: Any) -> Any:
        """Send a request and return the response."""
        return self._record(url, self._requests.get, url, *rest, **settings)

    def cache_get(self, url: str, *rest: Any, **settings: Any) -> Any:
        """Send a request, without the cache that `yfinance` has here."""
        return self.get(url, *rest, **settings)

    def get_raw_json(self, url: str, *rest: Any, **settings: Any) -> Any:
        """Send a request and return its JSON."""
        response = self.get(url, *rest, **settings)
        response.raise_for_status()
        return response.json()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._requests, name)

    def _record(self, url: str, send: Callable[..., Any], *rest: Any, **settings: Any) -> Any:
        try:
            response = send(*rest, **settings)
        except Exception as error:
            self._outcomes.append((url, error))
            raise
        self._outcomes.append((url, response))
        return response

    @contextmanager
    def explained(self, symbol: str, page: str) -> Iterator[None]:
        """Raise `RequestFailedError` for what `yfinance` raises: for a failed request to `page`, if there is one.

        Rate limits are raised unchanged.
        """
        try:
            yield
        except yf.exceptions.YFRateLimitError:
            raise
        except Exception as error:
            if any(page in url for url, _ in self._outcomes):
                self.raise_if_failed(symbol, page)
            raise RequestFailedError(RequestFailure(_describe(error))) from None

    def raise_if_failed(self, symbol: str, page: str) -> None:
        """Raise `RequestFailedError` unless the last request to a page succeeded."""
        outcomes = [outcome for url, outcome in self._outcomes if page in url]
        if not outcomes:
            raise RequestFailedError(RequestFailure("was not queried, since an earlier request failed"))
        if failure := _failure(outcomes[-1], symbol):
            raise RequestFailedError(failure)


def recorded_ticker(symbol: str) -> tuple[yf.Ticker, RecordedRequests]:
    """Return a ticker, and the record of the requests that it sends."""
    ticker = yf.Ticker(symbol)
    requests = RecordedRequests(ticker._data)
    ticker._data = ticker._quote._data = requests
    return ticker, requests


def explain(error: Exception) -> RequestFailure | None:
    """Return what an exception of `yfinance` means; None if it is not about the request."""
    return _RATE_LIMITED if isinstance(error, yf.exceptions.YFRateLimitError) else None


def _failure(outcome: Any, symbol: str) -> RequestFailure | None:
    """Return why a request failed, from its response or exception; None if it succeeded."""
    if isinstance(outcome, yf.exceptions.YFRateLimitError):
        return _RATE_LIMITED
    if isinstance(outcome, Exception):
        return RequestFailure(_describe(outcome))
    status = int(outcome.status_code)
    if status == TOO_MANY_REQUESTS:
        return _RATE_LIMITED
    body = json_object(outcome.text)
    if status < 400:
        return None if body is not None else RequestFailure("did not answer with a JSON object")
    message = _message_in(body or {})
    if status == 404 and body is not None:
        error = UnknownSymbolError(f"Yahoo has no symbol {symbol!r} ({message}).")
        return RequestFailure("does not have the symbol", refusal=error)
    if status == 400 and message.lower().startswith(_NO_BARS):
        return None
    reason = f"answered with HTTP status {status}"
    if is_transient(status, _ALSO_TRANSIENT):
        return RequestFailure(reason)
    quote = f" and says: {message}" if message else ""
    refusal = ProviderError(f"Yahoo {reason}{quote}. Check the symbol {symbol!r} and the dates.")
    return RequestFailure(reason, refusal=refusal)


def _message_in(body: Mapping[str, Any]) -> str:
    """Return Yahoo's explanation of an error."""
    for answer in body.values():
        error = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(error, dict):
            return quotable(str(error.get("description") or error.get("code") or "").rstrip("."))
    return ""


def _describe(error: Exception) -> str:
    """Return what went wrong with a request, completing the sentence "Yahoo …"."""
    is_connection_error = isinstance(error, OSError)
    return describe_connection_error(
        error, "closed the connection" if is_connection_error else "gave an answer that yfinance could not read"
    )
