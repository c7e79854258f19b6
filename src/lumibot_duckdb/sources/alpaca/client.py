"""Bars, corporate actions and option contracts from Alpaca, through its official clients.

Rate limits, time limits and error messages are in `http.py`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from alpaca.common.rest import RESTClient
from alpaca.data.enums import Adjustment, CorporateActionsType, DataFeed
from alpaca.data.historical import CryptoHistoricalDataClient, OptionHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import (
    CorporateActionsRequest,
    CryptoBarsRequest,
    CryptoLatestBarRequest,
    OptionBarsRequest,
    StockBarsRequest,
    StockLatestBarRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus
from alpaca.trading.requests import GetOptionContractsRequest

from lumibot_duckdb.sources.alpaca.http import NAME, AlpacaRateLimit, explain, throttle_client
from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.days import DaySpan
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, PlanLimitError
from lumibot_duckdb.sources.shared.provider_clock import ProviderClock
from lumibot_duckdb.sources.shared.rate_limit import Throttle
from lumibot_duckdb.sources.shared.retry import call_with_retries
from lumibot_duckdb.sources.shared.span_downloads import download_spans
from lumibot_duckdb.sources.shared.times import date_of, midnight

Result = TypeVar("Result")

REQUESTS_PER_MINUTE = 180
"""A free key allows about 200."""

_COLUMNS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "trade_count": "n", "vwap": "vw"}
_UNITS = {"minute": TimeFrameUnit.Minute, "hour": TimeFrameUnit.Hour, "day": TimeFrameUnit.Day}
_UNIT_MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60}
_TIMEFRAME = re.compile(r"(\d*)(minute|hour|day)")
_BARS_PER_PAGE = 10_000
_CONTRACTS_PER_PAGE = 10_000
_TRADING_MINUTES_PER_DAY = {"stock": 16 * 60 * 5 / 7, "option": 6.5 * 60 * 5 / 7, "crypto": 24 * 60}  # on average
_SINCE = date(1990, 1, 1)
_NEW_YORK = ZoneInfo("America/New_York")
_SPLITS = (CorporateActionsType.FORWARD_SPLIT, CorporateActionsType.REVERSE_SPLIT, CorporateActionsType.UNIT_SPLIT)
_PAYMENTS = (
    CorporateActionsType.STOCK_DIVIDEND,
    CorporateActionsType.CASH_DIVIDEND,
    CorporateActionsType.SPIN_OFF,
)


@dataclass(frozen=True, order=True)
class TimeSpan(DaySpan):
    """The half-open range `[start, end)` of epoch seconds, and the days of New York that it touches."""

    start: int
    end: int


@dataclass(frozen=True)
class StockAction:
    """An action that changed a stock's adjusted prices on its ex-date.

    A split, or a dividend in shares, made `after` shares of `before`. `amount` is the cash paid for each share, or the
    number of shares of another company that were spun off for each share.
    """

    ex_date: date
    before: float | None = None
    after: float | None = None
    amount: float | None = None


@dataclass(frozen=True)
class OptionContract:
    """An option contract, in Alpaca's words: `type` is "call" or "put"; `size` in shares."""

    symbol: str
    root_symbol: str
    expiration_date: date
    type: str
    strike_price: float
    size: float


class AlpacaProvider(BarProvider):
    """Downloads from Alpaca. Thread-safe.

    All requests of a provider share its rate limit, which they wait for. Requests that fail for a passing reason are
    repeated. `docs/sources.md` lists the errors.

    Parameters:
        api_key, secret_key: a key and its secret; or
        oauth_token: an OAuth token.
        paper: whether they belong to a paper account.
        workers: how many requests are sent at a time.
        requests_per_minute: how many requests are sent in a minute at most.
        retry_policy: how requests are repeated.
        feed: the feed of stock bars ("iex", "sip"). By default Alpaca chooses: all exchanges ("sip") for bars that are
            at least 15 minutes old, which is what backtests use.

    Raises:
        InvalidKeyError: there is no key, or it contains a character that cannot be sent.
    """

    def __init__(
        self,
        api_key: str | None = None,
        secret_key: str | None = None,
        oauth_token: str | None = None,
        *,
        paper: bool = True,
        workers: int = 4,
        requests_per_minute: int = REQUESTS_PER_MINUTE,
        retry_policy: RetryPolicy | None = None,
        feed: str | None = None,
    ) -> None:
        key, secret, token = ((text or "").strip() or None for text in (api_key, secret_key, oauth_token))
        if not (key and secret) and not token:
            raise InvalidKeyError(
                "There is no Alpaca API key: give API_KEY and API_SECRET, or OAUTH_TOKEN, in the config, or set "
                "ALPACA_API_KEY and ALPACA_API_SECRET, or ALPACA_OAUTH_TOKEN."
            )
        self._secrets = [text for text in (key, secret, token) if text]
        if not all(text.isascii() and text.isprintable() for text in self._secrets):
            # The error of sending it would quote it.
            raise InvalidKeyError(
                "The Alpaca API key, secret or token contains a character that no key has: copy it again."
            )
        by_key = bool(key and secret)
        self._credentials = {"api_key": key, "secret_key": secret} if by_key else {"oauth_token": token}
        self._paper = paper
        self._workers = workers
        self._feed = None if feed is None else DataFeed(feed)
        self._limit = AlpacaRateLimit(retry_policy or RetryPolicy())
        self._throttle = Throttle(requests_per_minute)
        self.clock = ProviderClock()
        """The clock of Alpaca."""
        self._clients: dict[Any, Any] = {}
        self._lock = threading.Lock()

    # -- bars ------------------------------------------------------------------------------------------------

    def bars(self, request: BarRequest) -> Generator[BarResponse, None, None]:
        """Download bars.

        Parameters:
            request: its asset type is "stock", "crypto" or "option"; its timeframe minutes, hours or one day
                ("5minute", "hour"); its adjustment one of Alpaca's, for stocks ("split", "all"; empty for "raw").
                Ranges are downloaded in parallel, in spans of about a page each.

        Yields:
            the bars of a span, in any order. A frame has the columns open, high, low, close, volume, trade_count and
            vwap (float64); its index is `datetime` (UTC).

        Raises:
            ValueError: Alpaca does not have the timeframe.
            InvalidKeyError: Alpaca does not accept the key.
            PlanLimitError: the plan does not include some of the ranges. All others were yielded before.
            DownloadIncompleteError: some of the ranges could not be downloaded. All others were yielded before.
        """
        stop = threading.Event()
        bar_size = _time_frame(request.timeframe)

        def download(span: TimeSpan) -> pd.DataFrame:
            return self._call(lambda: self._request_bars(request, bar_size, span), stop)

        arriving = download_spans(
            download,
            page_spans(request.ranges, request.asset_type, request.timeframe),
            name=request.name,
            provider=NAME,
            workers=self._workers,
            stop=stop,
            progress=request.progress,
        )
        with closing(arriving):
            for span, frame in arriving:
                yield BarResponse(span.start, span.end, frame)

    def _request_bars(self, request: BarRequest, bar_size: TimeFrame, span: TimeSpan) -> pd.DataFrame:
        query: dict[str, Any] = {
            "symbol_or_symbols": request.symbol,
            "timeframe": bar_size,
            "start": datetime.fromtimestamp(span.start, timezone.utc),
            "end": datetime.fromtimestamp(span.end - 1, timezone.utc),  # Alpaca includes the end
        }
        answer: Mapping[str, Any]
        if request.asset_type == "crypto":
            answer = self._client(CryptoHistoricalDataClient).get_crypto_bars(CryptoBarsRequest(**query))
        elif request.asset_type == "option":
            answer = self._client(OptionHistoricalDataClient).get_option_bars(OptionBarsRequest(**query))
        else:
            adjustment = Adjustment(request.adjustment or "raw")
            stock_query = StockBarsRequest(**query, adjustment=adjustment, feed=self._feed)
            answer = self._client(StockHistoricalDataClient).get_stock_bars(stock_query)
        frame = frame_of_bars(answer.get(request.symbol) or ())
        seconds = pd.DatetimeIndex(frame.index).as_unit("s").asi8
        inside: pd.DataFrame = frame[(seconds >= span.start) & (seconds < span.end)]
        return inside

    def traded_symbols(self, symbols: Sequence[str], asset_type: str) -> set[str]:
        """Return those of some stocks (or pairs, if `asset_type` is "crypto") of which Alpaca has a latest bar.

        Raises `ProviderError`.
        """
        answer: Mapping[str, Any]
        if asset_type == "crypto":
            pairs = CryptoLatestBarRequest(symbol_or_symbols=list(symbols))
            answer = self._call(lambda: self._client(CryptoHistoricalDataClient).get_crypto_latest_bar(pairs))
        else:
            stocks = StockLatestBarRequest(symbol_or_symbols=list(symbols), feed=self._feed)
            answer = self._call(lambda: self._client(StockHistoricalDataClient).get_stock_latest_bar(stocks))
        return {symbol for symbol, bar in answer.items() if bar}

    # -- corporate actions and options -----------------------------------------------------------------------

    def split_actions(self, symbol: str, until: date) -> list[StockAction]:
        """Return a stock's splits up to a day (included), and its dividends in shares. Raises `ProviderError`."""
        types = [*_SPLITS, CorporateActionsType.STOCK_DIVIDEND]
        return [action for name, entry in self._actions(symbol, until, types) if (action := _split(name, entry))]

    def dividend_actions(self, symbol: str, until: date) -> list[StockAction]:
        """Return a stock's dividends up to a day (included), also those in shares, and its spin-offs.

        Raises `ProviderError`.
        """
        return [action for name, entry in self._actions(symbol, until, _PAYMENTS) if (action := _payment(name, entry))]

    def _actions(
        self, symbol: str, until: date, types: Sequence[CorporateActionsType]
    ) -> list[tuple[str, Mapping[str, Any]]]:
        request = CorporateActionsRequest(symbols=[symbol], types=list(types), start=_SINCE, end=until)
        client = self._client(CorporateActionsClient)
        answer = self._call(lambda: client.get_corporate_actions(request)) or {}
        return [(name, entry) for name, entries in answer.items() for entry in entries]

    def option_contracts(self, underlying: str, first: date, last: date) -> list[OptionContract]:
        """Return the contracts that expire from `first` to `last`, both included: expired ones, then the others.

        The trading API accepts a key at only one of its two addresses, the one for paper or the one for live accounts,
        and has the same contracts at both. The second address is tried when the first refuses the key.

        Raises `ProviderError`.
        """
        contracts: list[OptionContract] = []
        for status in (AssetStatus.INACTIVE, AssetStatus.ACTIVE):
            token: str | None = None
            while True:
                request = GetOptionContractsRequest(
                    underlying_symbols=[underlying],
                    status=status,
                    expiration_date_gte=first,
                    expiration_date_lte=last,
                    limit=_CONTRACTS_PER_PAGE,
                    page_token=token,
                )
                answer = self._request_contracts(request)
                contracts += [_contract(entry) for entry in answer.get("option_contracts") or ()]
                token = answer.get("next_page_token")
                if not token:
                    break
        return contracts

    def _request_contracts(self, request: GetOptionContractsRequest) -> Mapping[str, Any]:
        try:
            return self._contracts_at(request, self._paper)
        except (InvalidKeyError, PlanLimitError):
            answer = self._contracts_at(request, not self._paper)
            self._paper = not self._paper
            return answer

    def _contracts_at(self, request: GetOptionContractsRequest, paper: bool) -> Mapping[str, Any]:
        client = self._client(TradingClient, paper=paper)
        answer: Mapping[str, Any] = self._call(lambda: client.get_option_contracts(request))
        return answer

    # -- clients ---------------------------------------------------------------------------------------------

    def _client(self, kind: Callable[..., RESTClient], **settings: Any) -> Any:
        key = (kind, *settings.items())
        with self._lock:
            if key not in self._clients:
                client = kind(**self._credentials, raw_data=True, **settings)
                throttle_client(client, self._throttle, self._workers, self.clock)
                self._clients[key] = client
            return self._clients[key]

    def _call(self, call: Callable[[], Result], stop: threading.Event | None = None) -> Result:
        return call_with_retries(
            call, self._limit, name=NAME, explain=lambda error: explain(error, self._secrets), stop=stop
        )


def page_spans(ranges: Iterable[tuple[int, int]], asset_type: str, timeframe: str) -> list[TimeSpan]:
    """Split half-open ranges into spans whose bars fill about one page, at midnights of New York."""
    count, unit = _count_and_unit(timeframe)
    minutes_per_day = _TRADING_MINUTES_PER_DAY.get(asset_type, 24 * 60)
    days = max(1, int(_BARS_PER_PAGE * count * _UNIT_MINUTES[unit] / minutes_per_day))
    spans = []
    for start, end in ranges:
        while start < end:
            day = date_of(start, _NEW_YORK)
            try:
                cut = min(end, midnight(day + timedelta(days=days), _NEW_YORK))
            except OverflowError:
                cut = end
            spans.append(TimeSpan(day, date_of(cut - 1, _NEW_YORK), start, cut))
            start = cut
    return spans


def frame_of_bars(bars: Sequence[Mapping[str, Any] | None]) -> pd.DataFrame:
    """Return Alpaca's bars as a frame, sorted by bar start (UTC). Of several with the same start, keep the last."""
    entries = [bar for bar in bars if bar is not None]
    index = pd.DatetimeIndex(pd.to_datetime([bar["t"] for bar in entries], utc=True, format="ISO8601"), name="datetime")
    columns = {name: np.array([bar.get(short) for bar in entries], dtype="float64") for name, short in _COLUMNS.items()}
    frame: pd.DataFrame = pd.DataFrame(columns, index=index)
    if not index.is_monotonic_increasing:
        frame = frame.sort_index(kind="stable")
    if not frame.index.is_unique:
        frame = frame[~frame.index.duplicated(keep="last")]
    return frame


def _count_and_unit(timeframe: str) -> tuple[int, str]:
    found = _TIMEFRAME.fullmatch(timeframe)
    if found is None:
        raise ValueError(f"Alpaca has no bars of {timeframe!r}: use minutes, hours or one day, such as '5minute'")
    return int(found[1] or 1), found[2]


def _time_frame(timeframe: str) -> TimeFrame:
    count, unit = _count_and_unit(timeframe)
    return TimeFrame(count, _UNITS[unit])


def _split(name: str, entry: Mapping[str, Any]) -> StockAction | None:
    ex_date = _date(entry.get("ex_date") or entry.get("effective_date"))
    if ex_date is None:
        return None
    if name == "stock_dividends":
        return StockAction(ex_date, before=1.0, after=1.0 + float(entry["rate"]))
    return StockAction(ex_date, before=float(entry["old_rate"]), after=float(entry["new_rate"]))


def _payment(name: str, entry: Mapping[str, Any]) -> StockAction | None:
    ex_date = _date(entry.get("ex_date"))
    if ex_date is None:
        return None
    if name == "spin_offs":
        return StockAction(ex_date, amount=float(entry["new_rate"]) / float(entry["source_rate"]))
    return StockAction(ex_date, amount=float(entry["rate"]))


def _contract(entry: Mapping[str, Any]) -> OptionContract:
    return OptionContract(
        symbol=str(entry["symbol"]),
        root_symbol=str(entry.get("root_symbol") or ""),
        expiration_date=date.fromisoformat(entry["expiration_date"]),
        type=str(entry["type"]),
        strike_price=float(entry["strike_price"]),
        size=float(entry.get("size") or 100),
    )


def _date(text: Any) -> date | None:
    return date.fromisoformat(text) if text else None
