"""Bars, dividends, splits and markets from Yahoo Finance, through `yfinance`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import pandas as pd
import yfinance as yf
from tqdm import tqdm
from yfinance.exceptions import YFRateLimitError

from lumibot_duckdb.sources.shared.errors import ProviderError, RateLimitedError, UnknownSymbolError
from lumibot_duckdb.sources.shared.retry import Patience, RateLimit, Trouble, patiently

__all__ = ["COLUMNS", "KEPT", "Market", "Patience", "YahooBars", "YahooProvider"]

COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
    "Dividends": "dividend",
    "Stock Splits": "stock_splits",
    "Capital Gains": "capital_gains",
}
"""Yahoo's columns, as `yfinance` names them, and their canonical names. Only funds have capital gains."""

KEPT = {"minute": timedelta(days=7), "15minute": timedelta(days=60)}
"""How long Yahoo keeps intraday bars."""

LONGEST_LIMIT = 900.0
"""Seconds that one request waits in all for Yahoo's rate limit to end; it may last for hours."""

Result = TypeVar("Result")

_INTERVALS = {"day": "1d", "15minute": "15m", "minute": "1m"}
_CHART, _QUOTE = "/v8/finance/chart/", "/v7/finance/quote"
_TIMEOUT = 30.0
_NO_DATA = "data doesn't exist for startdate"


@dataclass(frozen=True)
class YahooBars:
    """Bars by their start (UTC) with the columns of `COLUMNS`, and the name of the exchange's time zone.

    Prices and volumes are split-adjusted, `adj_close` is adjusted for dividends and capital gains as well. Days start
    at midnight of the exchange. Values that Yahoo lacks are NaN.
    """

    frame: pd.DataFrame
    zone: str


@dataclass(frozen=True)
class Market:
    """What Yahoo says of where a symbol is traded: its name of the market ("us_market") and the time zone.

    Both are empty if it says nothing.
    """

    name: str = ""
    zone: str = ""


class YahooProvider:
    """Downloads from Yahoo. Safe to use from several threads.

    Rate limits are waited for (by all that share the provider's limit, in one process that is everyone), passing faults
    are tried again. What remains is raised as a `ProviderError`.
    """

    everyones_limit = RateLimit(
        Patience(), of="Yahoo", advice="Yahoo limits by network address, so other programs count as well"
    )

    def __init__(self, *, patience: Patience | None = None) -> None:
        self._limit = self.everyones_limit if patience is None else RateLimit(patience, of="Yahoo")

    def bars(self, symbol: str, timeframe: str, since: datetime | None = None) -> YahooBars:
        """Return all bars from a moment on; without one, all that Yahoo has (intraday: for as long as `KEPT` says).

        `timeframe` is "day", "15minute" or "minute"; intraday bars are those of regular trading hours. A moment
        without a time zone is one of the exchange's. The frame is empty if there are no bars.

        Raises:
            UnknownSymbolError: Yahoo has no such symbol.
            RateLimitedError: Yahoo's rate limit did not end.
            ProviderUnavailableError: Yahoo could not be reached, or went on failing.
            ProviderError: Yahoo refused the request.
        """
        if since is None and timeframe in KEPT:
            since = datetime.now(timezone.utc) - KEPT[timeframe]

        def download() -> YahooBars:
            ticker, requests = _watched(symbol)
            span: dict[str, Any] = {"period": "max"} if since is None else {"start": since}
            settings = {"interval": _INTERVALS[timeframe], "auto_adjust": False, "timeout": _TIMEOUT, **span}
            with requests.understood(symbol, _CHART):
                frame = ticker.history(**settings)
            if frame is None or frame.empty:
                requests.complain(symbol, _CHART)
                return YahooBars(pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC")), "UTC")
            zone = str(frame.index.tz)
            frame = frame.rename(columns=COLUMNS)
            frame.index = frame.index.tz_convert("UTC").rename("datetime")
            return YahooBars(frame, zone)

        # One request each, so the line is there only while it is waited for.
        with tqdm(total=1, desc=f"Downloading {symbol} {timeframe}", dynamic_ncols=True, leave=False, disable=None):
            return self._patiently(download)

    def market(self, symbol: str) -> Market:
        """Return where a symbol is traded. Errors as for `bars`, but a symbol that is not known has no market."""

        def download() -> Market:
            ticker, requests = _watched(symbol)
            try:
                with requests.understood(symbol, _QUOTE):
                    info = ticker.info or {}
                if not info.get("market"):
                    requests.complain(symbol, _QUOTE)
            except _NotAnsweredError as error:
                if not isinstance(error.trouble.refusal, UnknownSymbolError):
                    raise
                info = {}
            return Market(str(info.get("market") or ""), str(info.get("exchangeTimezoneName") or ""))

        return self._patiently(download)

    def _patiently(self, download: Callable[[], Result]) -> Result:
        return patiently(download, _understood, self._limit, threading.Event(), name="Yahoo", bound=_what_is_left)


class _NotAnsweredError(Exception):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.what)
        self.trouble = trouble


class _WatchedRequests:
    """Stands where a `yfinance` ticker has its requests, and remembers how they went, which `yfinance` does not tell.

    Of errors `yfinance` makes empty frames, whether a symbol is unknown or a server out of order. Nor does it ask
    anew for what it once got an error for: it keeps that answer like any other.
    """

    def __init__(self, requests: Any) -> None:
        self._requests = requests
        self._went: list[tuple[str, Any]] = []

    def get(self, url: str, *rest: Any, **settings: Any) -> Any:
        return self._watch(url, self._requests.get, url, *rest, **settings)

    def cache_get(self, url: str, *rest: Any, **settings: Any) -> Any:
        return self.get(url, *rest, **settings)

    def get_raw_json(self, url: str, *rest: Any, **settings: Any) -> Any:
        response = self.get(url, *rest, **settings)
        response.raise_for_status()
        return response.json()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._requests, name)

    def _watch(self, url: str, send: Any, *rest: Any, **settings: Any) -> Any:
        try:
            response = send(*rest, **settings)
        except Exception as error:
            self._went.append((url, error))
            raise
        self._went.append((url, response))
        return response

    @contextmanager
    def understood(self, symbol: str, where: str) -> Iterator[None]:
        """Raise `_NotAnsweredError` for what `yfinance` raises: for what went wrong with a page, if anything did.

        Rate limits are raised as they are.
        """
        try:
            yield
        except YFRateLimitError:
            raise
        except Exception as error:
            if any(where in url for url, _ in self._went):
                self.complain(symbol, where)
            raise _NotAnsweredError(Trouble(_told(error))) from None

    def complain(self, symbol: str, where: str) -> None:
        """Raise `_NotAnsweredError` unless the last request to a page was answered well."""
        outcomes = [outcome for url, outcome in self._went if where in url]
        if not outcomes:
            raise _NotAnsweredError(Trouble("was not asked (another request before went wrong)"))
        if trouble := _trouble_with(outcomes[-1], symbol):
            raise _NotAnsweredError(trouble)


def _watched(symbol: str) -> tuple[yf.Ticker, _WatchedRequests]:
    """Return a ticker and what it sends its requests through."""
    ticker = yf.Ticker(symbol)
    requests = _WatchedRequests(ticker._data)
    ticker._data = ticker._quote._data = requests
    return ticker, requests


def _understood(error: Exception) -> Trouble | None:
    if isinstance(error, _NotAnsweredError):
        return error.trouble
    return Trouble("allows no more requests for now", limited=True) if isinstance(error, YFRateLimitError) else None


def _trouble_with(outcome: Any, symbol: str) -> Trouble | None:
    """Say what is wrong with a response, or what an exception means; None for a good answer."""
    if isinstance(outcome, YFRateLimitError):
        return Trouble("allows no more requests for now", limited=True)
    if isinstance(outcome, Exception):
        return Trouble(_told(outcome))
    status = int(outcome.status_code)
    if status == 429:
        return Trouble("allows no more requests for now", limited=True)
    body = _json_object(outcome)
    if status < 400:
        return None if body is not None else Trouble("answered with something that is no JSON object")
    said = _said(body or {})
    if status == 404 and body is not None:
        return Trouble("has no such symbol", refusal=UnknownSymbolError(f"Yahoo has no symbol {symbol!r} ({said})."))
    if status == 400 and said.lower().startswith(_NO_DATA):
        return None
    trouble = f"answered with HTTP status {status}"
    if status in (401, 403, 404, 408, 425) or status >= 500:
        return Trouble(trouble)  # cookies and crumbs are made anew for the next try
    refusal = f"Yahoo {trouble}{f' and says: {said}' if said else ''}. Check the symbol {symbol!r} and the dates."
    return Trouble(trouble, refusal=ProviderError(refusal))


def _json_object(response: Any) -> dict[str, Any] | None:
    try:
        body = json.loads(response.text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _said(body: dict[str, Any]) -> str:
    """Return how Yahoo explains itself."""
    for answer in body.values():
        error = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(error, dict):
            return str(error.get("description") or error.get("code") or "").rstrip(".")[:300]
    return ""


def _told(error: Exception) -> str:
    """Say what went wrong with a request in words of our own."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"Timeout", "TimeoutError", "ReadTimeout"}:
        return "did not answer in time"
    if "DNSError" in kinds:
        return "could not be found (its name does not resolve)"
    if kinds & {"CertificateVerifyError", "SSLError"}:
        return "could not be reached safely (its certificate was not accepted)"
    if kinds & {"ConnectionError", "ConnectionRefusedError"}:
        return "could not be reached"
    if kinds & {"RequestException", "OSError"}:
        return "broke the connection off"
    return "gave an answer that yfinance could not read"


def _what_is_left(waits: int, waited: float) -> float:
    """Return the seconds that a request may still wait for the rate limit. Raises `RateLimitedError` if none are."""
    if waited >= LONGEST_LIMIT:
        raise RateLimitedError(
            f"Yahoo's rate limit did not end within {LONGEST_LIMIT / 60:.0f} minutes: try again later. It counts all "
            "requests from your network address."
        )
    return LONGEST_LIMIT - waited
