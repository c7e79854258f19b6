"""Requests to exchanges: their rate limits, and what ccxt's errors mean.

ccxt keeps the pause between requests that an exchange wants. How a rate limit that is reached nevertheless is shared by
threads is in `sources/shared/rate_limit.py`, how requests are repeated in `sources/shared/retry.py`.
"""

from __future__ import annotations

from typing import Any

import ccxt  # type: ignore[import-untyped]
from requests.exceptions import HTTPError, RequestException

from lumibot_duckdb.sources.retry_policy import retry_after_seconds
from lumibot_duckdb.sources.shared.errors import ProviderError, UnknownMarketError
from lumibot_duckdb.sources.shared.http_errors import quotable
from lumibot_duckdb.sources.shared.provider_clock import date_in
from lumibot_duckdb.sources.shared.retry import RequestFailure

_UNAVAILABLE_FOR_LEGAL_REASONS = 451


def require_json(exchange: ccxt.Exchange) -> None:
    """Make ccxt raise `BadResponse` for a successful answer that is not JSON, which it reads as an empty list."""
    status = 0
    on_rest_response, parse_json = exchange.on_rest_response, exchange.parse_json

    def record_status(code: int, *rest: Any) -> Any:
        nonlocal status
        status = code
        return on_rest_response(code, *rest)

    def parse(text: str) -> Any:
        body = parse_json(text)
        if body is None and status < 400:
            raise ccxt.BadResponse("not JSON")
        return body

    exchange.on_rest_response, exchange.parse_json = record_status, parse


def date_of_answer(exchange: ccxt.Exchange) -> float | None:
    """Return the date of the last answer, in epoch seconds; None if it has none."""
    return date_in(exchange.last_response_headers or {})


def explain(error: Exception, exchange: ccxt.Exchange, name: str) -> RequestFailure:
    """Return what an exception of ccxt means; `name` is the exchange's in messages."""
    message = quotable(" ".join(str(error).split()))
    status = _http_status(error)
    if isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
        headers = exchange.last_response_headers or {}
        pause = retry_after_seconds(headers.get("Retry-After"))
        return RequestFailure("had too many requests", rate_limited=True, retry_after=pause)
    if status == _UNAVAILABLE_FOR_LEGAL_REASONS:
        return _refused(f"{name} does not serve the place where this computer is: choose another exchange.")
    if isinstance(error, ccxt.RequestTimeout):
        return RequestFailure("did not answer in time")
    if isinstance(error, ccxt.BadResponse):
        return RequestFailure("gave an answer that could not be read")
    if isinstance(error, ccxt.ExchangeNotAvailable) or (status is not None and status >= 500):
        return RequestFailure(f"is not available ({message})")
    if isinstance(error, ccxt.NetworkError) or isinstance(error.__cause__, RequestException):
        return RequestFailure("could not be reached, or closed the connection")
    if isinstance(error, ccxt.BadSymbol):
        refusal = UnknownMarketError(f"{name} does not know this market ({message}).")
        return RequestFailure("does not know this market", refusal=refusal)
    if isinstance(error, ccxt.BaseError):
        return _refused(f"{name} refuses the request ({message}): check the symbol and the dates.")
    return RequestFailure(f"gave an answer that could not be read ({type(error).__name__})")


def _refused(message: str) -> RequestFailure:
    return RequestFailure("refuses the request", refusal=ProviderError(message))


def _http_status(error: Exception) -> int | None:
    """Return the HTTP status behind an error of ccxt; None if there was no answer, or a successful one."""
    for behind in (error.__cause__, error.__context__):
        if isinstance(behind, HTTPError) and behind.response is not None:
            return int(behind.response.status_code)
    return None
