"""Bars, splits and option contracts from Polygon (now Massive), through its official client.

Rate limits, retries and error messages are in `http.py`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pandas as pd
from polygon import RESTClient

from lumibot_duckdb import clock
from lumibot_duckdb.sources.polygon.frames import frame_of_aggregates
from lumibot_duckdb.sources.polygon.http import NAME, PolygonRateLimit, RetryingPool
from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse, StockSplit
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.days import DaySpan, chunks
from lumibot_duckdb.sources.shared.errors import InvalidKeyError
from lumibot_duckdb.sources.shared.span_downloads import download_spans
from lumibot_duckdb.sources.shared.times import date_of, midnight

TIMEFRAMES = ("minute", "hour", "day")

_BAR_PAGE_SIZE = 50_000
_PAGE_SIZE = 1_000
_NEW_YORK, _UTC = ZoneInfo("America/New_York"), ZoneInfo("UTC")


@dataclass(frozen=True)
class OptionContract:
    """An option contract.

    `right` is "call" or "put"; `strike` (dollars) and `shares` are int where Polygon writes whole numbers.
    """

    ticker: str
    underlying: str
    expiration: date
    right: str
    strike: float
    shares: float
    exchange: str | None


def day_range(ticker: str, days: DaySpan) -> tuple[int, int]:
    """Return the half-open range of epoch seconds that a span of days is for a ticker.

    Days of stocks, options and indices are days of New York, those of crypto (`X:`) and forex (`C:`) days of UTC.
    """
    zone = _zone_of(ticker)
    return midnight(days.first, zone), midnight(days.last + timedelta(days=1), zone)


def days_of(ticker: str, start: int, end: int) -> DaySpan:
    """Return the days that a half-open range of epoch seconds touches; the inverse of `day_range`."""
    zone = _zone_of(ticker)
    return DaySpan(date_of(start, zone), date_of(end - 1, zone))


def _zone_of(ticker: str) -> ZoneInfo:
    return _UTC if ticker.startswith(("X:", "C:")) else _NEW_YORK


class PolygonProvider(BarProvider):
    """Downloads from Polygon. Thread-safe.

    All requests of a provider share its rate limit, which they wait for. Requests that fail for a passing reason are
    repeated. `docs/sources.md` lists the errors, and the environment variables that bound the waiting.

    Parameters:
        client: Polygon's official client.
        workers: how many requests are sent at a time. The client keeps as many connections open from now on.
        retry_policy: how requests are repeated.

    Raises:
        ValueError: there are no workers.
        InvalidKeyError: the client's key contains a character that cannot be sent.
    """

    def __init__(self, client: RESTClient, *, workers: int = 10, retry_policy: RetryPolicy | None = None) -> None:
        if workers < 1:
            raise ValueError(f"a download needs one worker or more, not {workers}")
        if not (client.API_KEY.isascii() and client.API_KEY.isprintable()):  # the error of sending it would quote it
            raise InvalidKeyError("The Polygon API key contains a character that no key has: copy the key again.")
        client.client.connection_pool_kw.setdefault("maxsize", workers)  # urllib3 would keep just one connection
        self._client = client
        self._workers = workers
        self._limit = PolygonRateLimit(retry_policy or RetryPolicy())

    @classmethod
    def with_key(
        cls, api_key: str, *, workers: int = 10, retry_policy: RetryPolicy | None = None, **settings: Any
    ) -> PolygonProvider:
        """Return a provider with a new client; `settings` are further arguments of `polygon.RESTClient`.

        Raises:
            InvalidKeyError: there is no key, or it contains a character that cannot be sent.
        """
        if not isinstance(api_key, str) or not api_key.strip():
            raise InvalidKeyError("There is no Polygon API key: set POLYGON_API_KEY, or pass the key.")
        return cls(RESTClient(api_key=api_key.strip(), **settings), workers=workers, retry_policy=retry_policy)

    def bars(self, request: BarRequest) -> Generator[BarResponse, None, None]:
        """Download split-adjusted bars.

        Parameters:
            request: its symbol is one of Polygon's tickers, its timeframe one of `TIMEFRAMES`; its adjustment is
                ignored. Ranges are extended to whole days (see `day_range`) and downloaded in parallel, in spans of up
                to 30 days.

        Yields:
            the bars of up to 30 days, in any order. A frame has the columns open, high, low, close, volume, vwap,
            transactions and otc, with the dtypes that pandas infers from the answer; its index is `datetime` (UTC,
            nanoseconds).

        Raises:
            ValueError: the timeframe is not one of `TIMEFRAMES`.
            InvalidKeyError: Polygon does not accept the key.
            PlanLimitError: the plan does not include some of the days. All others were yielded before.
            DownloadIncompleteError: some of the days could not be downloaded. All others were yielded before.
        """
        if request.timeframe not in TIMEFRAMES:
            raise ValueError(f"Polygon's timeframes are {', '.join(TIMEFRAMES)}, not {request.timeframe!r}")
        ticker = request.symbol
        stop = threading.Event()
        client = self._retrying_client(stop)

        def download(days: DaySpan) -> pd.DataFrame:
            answer = client.list_aggs(
                quote(ticker, safe=":"), 1, request.timeframe, days.first, days.last, limit=_BAR_PAGE_SIZE, raw=True
            )
            return frame_of_aggregates(_all_results(client, answer.body))

        arriving = download_spans(
            download,
            [span for start, end in request.ranges for span in chunks(days_of(ticker, start, end))],
            name=request.name,
            provider=NAME,
            workers=self._workers,
            stop=stop,
            progress=request.progress,
        )
        with closing(arriving):
            for days, frame in arriving:
                yield BarResponse(*day_range(ticker, days), frame)

    def splits(self, symbol: str) -> list[StockSplit]:
        """Return all splits of a stock, the oldest first. Prices are adjusted for those that have taken place."""
        client = self._retrying_client()
        answer = client.list_splits(ticker=symbol, sort="execution_date", order="asc", limit=_PAGE_SIZE, raw=True)
        splits = [
            StockSplit(
                ex_date=date.fromisoformat(entry["execution_date"]),
                split_from=entry["split_from"],
                split_to=entry["split_to"],
            )
            for entry in _all_results(client, answer.body)
        ]
        return sorted(splits, key=lambda split: split.ex_date)

    def option_ticker(self, underlying: str, expiration: date, right: str, strike: float) -> str | None:
        """Return Polygon's ticker of an option ("O:SPY230802C00457000"), or None if there is no such contract."""
        client = self._retrying_client()
        answer = client.list_options_contracts(
            underlying_ticker=underlying,
            expiration_date=expiration,
            contract_type=right.lower(),
            strike_price=strike,
            expired=expiration < clock.today(),
            limit=10,
            raw=True,
        )
        found = answer.body.get("results") or []
        return str(found[0]["ticker"]) if found else None

    def option_contracts(
        self, underlying: str, *, expiring_from: date, expiring_to: date | None
    ) -> list[OptionContract]:
        """Return the contracts that expire within these days, both included, or from a day on.

        Those that have expired come first, then the others, each in Polygon's order.
        """
        client = self._retrying_client()
        contracts: list[OptionContract] = []
        for expired in (True, False):
            answer = client.list_options_contracts(
                underlying_ticker=underlying,
                expiration_date_gte=expiring_from,
                expiration_date_lte=expiring_to,
                expired=expired,
                limit=_PAGE_SIZE,
                raw=True,
            )
            contracts += [
                OptionContract(
                    ticker=entry["ticker"],
                    underlying=entry["underlying_ticker"],
                    expiration=date.fromisoformat(entry["expiration_date"]),
                    right=entry["contract_type"],
                    strike=entry["strike_price"],
                    shares=entry["shares_per_contract"],
                    exchange=entry.get("primary_exchange"),
                )
                for entry in _all_results(client, answer.body)
            ]
        return contracts

    def _retrying_client(self, stop: threading.Event | None = None) -> RESTClient:
        """Return a copy of the client that repeats its requests until `stop` is set."""
        client = copy.copy(self._client)
        client.client = RetryingPool(self._client, self._limit, stop)
        return client


def _all_results(client: RESTClient, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of a page and of all pages after it."""
    results = list(body.get("results") or ())
    while following := body.get("next_url"):
        answer = client.client.request("GET", client.BASE + _path(following), headers=client.headers)
        body = answer.body
        results += body.get("results") or ()
    return results


def _path(url: str) -> str:
    """Return the path and query of a page's address, without a key: that is in the headers, and nobody else sees it."""
    parts = urlsplit(url)
    query = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name.lower() != "apikey"
    ]
    return f"{parts.path}?{urlencode(query)}" if query else parts.path
