"""Bars, dividends, splits and markets from Yahoo Finance, through `yfinance`.

Rate limits, retries and error messages are in `http.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, TypeVar

import pandas as pd

from lumibot_duckdb import clock
from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.errors import UnknownSymbolError
from lumibot_duckdb.sources.shared.progress import downloading
from lumibot_duckdb.sources.shared.retry import RequestFailedError, call_with_retries
from lumibot_duckdb.sources.yahoo.http import CHART, NAME, QUOTE, YahooRateLimit, explain, recorded_ticker

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

ZERO_IF_ABSENT = ("dividend", "stock_splits")
"""Columns that Yahoo's bars always have. Stored bars without them, which users have stored, have no such events."""

KEPT = {"minute": timedelta(days=7), "15minute": timedelta(days=60)}
"""How long Yahoo keeps intraday bars."""

EARLIEST = -2_208_988_800
"""1900-01-01 (epoch seconds); Yahoo has no older bars. A request from then on is for everything that Yahoo has."""

ZONE = "zone"
"""Key of a response's metadata: the name of the exchange's time zone, if there are bars."""

Result = TypeVar("Result")

_INTERVALS = {"day": "1d", "15minute": "15m", "minute": "1m"}
_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Market:
    """Where a symbol is traded: Yahoo's name of the market ("us_market"), and the exchange's time zone.

    Both are empty if Yahoo does not know.
    """

    name: str = ""
    zone: str = ""


class YahooProvider(BarProvider):
    """Downloads from Yahoo. Thread-safe.

    All requests of a process share one rate limit, which they wait for. Requests that fail for a passing reason are
    repeated. `docs/sources.md` lists the errors.

    Parameters:
        retry_policy: how requests are repeated; a provider with its own policy has its own rate limit.
    """

    timeframes = ("minute", "day")
    shared_limit = YahooRateLimit(RetryPolicy())

    def __init__(self, *, retry_policy: RetryPolicy | None = None) -> None:
        self._limit = self.shared_limit if retry_policy is None else YahooRateLimit(retry_policy)

    def bars(self, request: BarRequest) -> Generator[BarResponse, None, None]:
        """Download bars: for each range, one response with all bars from its start until now.

        Parameters:
            request: its timeframe is "day", "15minute" or "minute"; intraday bars are those of regular trading hours.
                A range from `EARLIEST` on is for everything that Yahoo has (intraday: for as long as `KEPT` says).

        Yields:
            bars with the columns of `COLUMNS`, indexed by `datetime` (UTC); Yahoo's days start at midnight of the
            exchange, whose time zone the metadata names (`ZONE`). Prices and volumes are adjusted for splits,
            `adj_close` for dividends and capital gains as well. Missing values are NaN.

        Raises:
            ValueError: the timeframe is not one of Yahoo's.
            UnknownSymbolError: Yahoo does not know the symbol.
            RateLimitedError: Yahoo's rate limit did not end.
            ProviderUnavailableError: Yahoo could not be reached, or every attempt failed.
            ProviderError: Yahoo refused the request.
        """
        if request.timeframe not in _INTERVALS:
            raise ValueError(f"Yahoo's timeframes are {', '.join(_INTERVALS)}, not {request.timeframe!r}")
        for start, _ in request.ranges:
            with downloading(request.name, None, shown=request.progress):  # one request, whose end nobody can estimate
                frame, metadata = self._call(partial(_download, request, start))
            yield BarResponse(start, max(start, clock.epoch_now() + 1), frame, metadata)

    def market(self, symbol: str) -> Market:
        """Return where a symbol is traded; an unknown symbol has no market. Raises like `bars`."""

        def download() -> Market:
            ticker, requests = recorded_ticker(symbol)
            try:
                with requests.explained(symbol, QUOTE):
                    info = ticker.info or {}
                if not info.get("market"):
                    requests.raise_if_failed(symbol, QUOTE)
            except RequestFailedError as error:
                if not isinstance(error.failure.refusal, UnknownSymbolError):
                    raise
                info = {}
            return Market(str(info.get("market") or ""), str(info.get("exchangeTimezoneName") or ""))

        return self._call(download)

    def _call(self, download: Callable[[], Result]) -> Result:
        return call_with_retries(download, self._limit, name=NAME, explain=explain)


def _download(request: BarRequest, start: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the bars from a moment on (epoch seconds), and their metadata."""
    ticker, requests = recorded_ticker(request.symbol)
    query = {"interval": _INTERVALS[request.timeframe], "auto_adjust": False, "timeout": _TIMEOUT}
    with requests.explained(request.symbol, CHART):
        frame = ticker.history(**query, **_history_range(request.timeframe, start))
    if frame is None or frame.empty:
        requests.raise_if_failed(request.symbol, CHART)
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC")), {}
    metadata = {ZONE: str(frame.index.tz)}
    frame = frame.rename(columns=COLUMNS)
    frame.index = frame.index.tz_convert("UTC").rename("datetime")
    return frame, metadata


def _history_range(timeframe: str, start: int) -> dict[str, Any]:
    """Return the arguments of `Ticker.history` for bars from a moment on (epoch seconds)."""
    if start > EARLIEST:
        return {"start": datetime.fromtimestamp(start, timezone.utc)}
    if timeframe in KEPT:
        return {"start": clock.utc_now() - KEPT[timeframe]}
    return {"period": "max"}
