"""Bars, splits and option contracts from Polygon (now Massive), through its official client."""

from __future__ import annotations

import copy
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pandas as pd
from polygon import RESTClient

from lumibot_duckdb.sources.polygon.frames import frame_of_aggregates
from lumibot_duckdb.sources.polygon.http import PatientPool, PolygonRateLimit
from lumibot_duckdb.sources.shared.days import DaySpan, chunks
from lumibot_duckdb.sources.shared.errors import InvalidKeyError
from lumibot_duckdb.sources.shared.retry import Patience
from lumibot_duckdb.sources.shared.span_downloads import downloaded

__all__ = [
    "DayBars",
    "DaySpan",
    "OptionContract",
    "Patience",
    "PolygonProvider",
    "StockSplit",
    "chunks",
    "day_range",
    "days_of",
]

_BARS_A_PAGE = 50_000
_ENTRIES_A_PAGE = 1_000
_NEW_YORK, _UTC = ZoneInfo("America/New_York"), ZoneInfo("UTC")


@dataclass(frozen=True)
class DayBars:
    """All bars of a span of days, as `PolygonProvider.bars` describes them; none if nothing was traded."""

    days: DaySpan
    frame: pd.DataFrame


@dataclass(frozen=True)
class StockSplit:
    """On `execution_date`, each `split_from` shares became `split_to`."""

    ticker: str
    execution_date: date
    split_from: float
    split_to: float


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
    return _midnight(days.first, zone), _midnight(days.last + timedelta(days=1), zone)


def days_of(ticker: str, start: int, end: int) -> DaySpan:
    """Return the days that a half-open range of epoch seconds touches, as `day_range` counts them."""
    first, last = (datetime.fromtimestamp(moment, _zone_of(ticker)).date() for moment in (start, end - 1))
    return DaySpan(first, last)


def _zone_of(ticker: str) -> ZoneInfo:
    return _UTC if ticker.startswith(("X:", "C:")) else _NEW_YORK


class PolygonProvider:
    """Downloads from Polygon. Safe to use from several threads.

    Rate limits are waited for, by all requests of a provider together; passing faults are tried again. What remains is
    raised as a `ProviderError`: which one means what, and the environment variables that bound the waiting, is in
    docs/sources.md.
    """

    def __init__(self, client: RESTClient, *, workers: int = 10, patience: Patience | None = None) -> None:
        """Use a client with up to `workers` requests at a time; it keeps as many connections open from now on.

        Raises:
            InvalidKeyError: the client's key is none that could be sent.
        """
        if workers < 1:
            raise ValueError(f"a download needs one worker or more, not {workers}")
        if not (client.API_KEY.isascii() and client.API_KEY.isprintable()):  # whoever sends it would quote it
            raise InvalidKeyError("The Polygon API key holds a character that no key has: copy it anew.")
        client.client.connection_pool_kw.setdefault("maxsize", workers)  # else all but one are thrown away after use
        self._client = client
        self._workers = workers
        self._limit = PolygonRateLimit(patience or Patience())

    @classmethod
    def with_key(
        cls, api_key: str, *, workers: int = 10, patience: Patience | None = None, **settings: Any
    ) -> PolygonProvider:
        """Make a client for a key; `settings` are further arguments of `polygon.RESTClient`.

        Raises:
            InvalidKeyError: there is no key, or it is none that could be sent.
        """
        if not isinstance(api_key, str) or not api_key.strip():
            raise InvalidKeyError("There is no Polygon API key: set POLYGON_API_KEY, or pass the key.")
        return cls(RESTClient(api_key=api_key.strip(), **settings), workers=workers, patience=patience)

    def bars(
        self, ticker: str, timespan: str, days: Sequence[DaySpan], *, label: str = "", progress: bool = True
    ) -> Generator[DayBars, None, None]:
        """Download bars, split-adjusted, and yield each span's as soon as it has arrived, in whatever order.

        `timespan` is one of Polygon's ("minute", "hour", "day"). Each span is one request unless its bars fill more
        than one page, so a span should not be longer than `chunks` makes it. `label` names the ticker in the progress
        bar and in errors. Stop early by closing the iterator: no further request is begun then.

        A frame has the columns open, high, low, close, volume, vwap, transactions and otc, with the dtypes that
        pandas infers from the answer, by bar start (`datetime`, UTC, nanoseconds), sorted, each start once.

        Raises:
            InvalidKeyError: Polygon does not accept the key.
            PlanLimitError: the plan does not include some of the spans. All others were yielded before.
            DownloadIncompleteError: some of the spans could not be downloaded. All others were yielded before.
        """
        stop = threading.Event()
        client = self._patient_client(stop)

        def download(span: DaySpan) -> pd.DataFrame:
            answer = client.list_aggs(
                quote(ticker, safe=":"), 1, timespan, span.first, span.last, limit=_BARS_A_PAGE, raw=True
            )
            return frame_of_aggregates(_results(client, answer.body))

        downloading = downloaded(
            download,
            days,
            what=f"{label or ticker} {timespan}",
            provider="Polygon",
            workers=self._workers,
            stop=stop,
            progress=progress,
        )
        with closing(downloading) as arriving:
            for span, frame in arriving:
                yield DayBars(span, frame)

    def splits(self, ticker: str) -> list[StockSplit]:
        """Return all splits of a stock, the oldest first."""
        client = self._patient_client()
        answer = client.list_splits(ticker=ticker, sort="execution_date", order="asc", limit=_ENTRIES_A_PAGE, raw=True)
        splits = [
            StockSplit(
                ticker=entry["ticker"],
                execution_date=date.fromisoformat(entry["execution_date"]),
                split_from=entry["split_from"],
                split_to=entry["split_to"],
            )
            for entry in _results(client, answer.body)
        ]
        return sorted(splits, key=lambda split: split.execution_date)

    def option_ticker(self, underlying: str, expiration: date, right: str, strike: float) -> str | None:
        """Return Polygon's ticker of an option ("O:SPY230802C00457000"), or None if there is no such contract."""
        client = self._patient_client()
        answer = client.list_options_contracts(
            underlying_ticker=underlying,
            expiration_date=expiration,
            contract_type=right.lower(),
            strike_price=strike,
            expired=expiration < date.today(),
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
        client = self._patient_client()
        contracts: list[OptionContract] = []
        for expired in (True, False):
            answer = client.list_options_contracts(
                underlying_ticker=underlying,
                expiration_date_gte=expiring_from,
                expiration_date_lte=expiring_to,
                expired=expired,
                limit=_ENTRIES_A_PAGE,
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
                for entry in _results(client, answer.body)
            ]
        return contracts

    def _patient_client(self, stop: threading.Event | None = None) -> RESTClient:
        """Return the client on a pool that is patient until `stop` is set."""
        client = copy.copy(self._client)
        client.client = PatientPool(self._client, self._limit, stop or threading.Event())
        return client


def _results(client: RESTClient, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of a page and of all that follow it."""
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


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
