"""Candles from the exchanges that ccxt knows, through its official client. No keys are needed, and none are used.

Rate limits, retries and error messages are in `http.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import ccxt  # type: ignore[import-untyped]
import numpy as np
import pandas as pd

from lumibot_duckdb.sources.ccxt.http import date_of_answer, explain, require_json
from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.errors import ProviderError, UnknownMarketError
from lumibot_duckdb.sources.shared.progress import downloading
from lumibot_duckdb.sources.shared.provider_clock import ProviderClock
from lumibot_duckdb.sources.shared.rate_limit import RateLimit
from lumibot_duckdb.sources.shared.retry import call_with_retries

Result = TypeVar("Result")

TIMEFRAMES = {"minute": "1m", "hour": "1h", "day": "1d"}
"""Canonical timeframes, and ccxt's names of them."""

SECONDS = {"1m": 60, "1h": 3_600, "1d": 86_400}
"""Length of a candle of each of ccxt's timeframes."""

COLUMNS = ("open", "high", "low", "close", "volume")
PROVIDERS: dict[str, CcxtProvider] = {}
"""The providers of this process by exchange id. They are shared because each loads its markets once."""

_DEFAULT_PAGE = 300  # candles, if ccxt does not know how many the exchange allows
_PAGES_PER_RESPONSE = 10
_providers_lock = threading.Lock()


class CcxtProvider(BarProvider):
    """Downloads candles from one exchange. Thread-safe; requests are sent one at a time.

    It waits for rate limits and repeats requests that fail for a passing reason. `docs/sources.md` lists the errors.

    Parameters:
        exchange: ccxt's object.
        retry_policy: how requests are repeated.
    """

    def __init__(self, exchange: ccxt.Exchange, *, retry_policy: RetryPolicy | None = None) -> None:
        self._exchange = exchange
        require_json(exchange)
        self._name = str(exchange.name or exchange.id)
        self._limit = RateLimit(retry_policy or RetryPolicy(), self._name)
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self.clock = ProviderClock()
        """The clock of the exchange."""

    @property
    def name(self) -> str:
        """The exchange's name, for messages."""
        return self._name

    @classmethod
    def of(cls, exchange_id: str) -> CcxtProvider:
        """Return this process's provider for an exchange ("binance", "kraken", …). It sends no request yet.

        Raises:
            ProviderError: ccxt does not know the exchange.
        """
        check_exchange(exchange_id)
        with _providers_lock:
            if exchange_id not in PROVIDERS:
                PROVIDERS[exchange_id] = cls(getattr(ccxt, exchange_id)({"enableRateLimit": True}))
            return PROVIDERS[exchange_id]

    def exchange(self) -> ccxt.Exchange:
        """Return ccxt's object with its markets, which are loaded once.

        Raises:
            ProviderUnavailableError: the exchange could not be reached, or every attempt failed.
            ProviderError: the exchange refused the request.
        """
        with self._lock:
            if not self._exchange.markets:
                self._call(self._exchange.load_markets)
        return self._exchange

    def bars(self, request: BarRequest) -> Generator[BarResponse, None, None]:
        """Download candles.

        Parameters:
            request: its symbol is ccxt's ("BTC/USDT"), its timeframe one of `TIMEFRAMES`.

        Yields:
            the candles of up to ten pages, in order and without leaving anything out. A frame has the columns open,
            high, low, close and volume (float64, NaN for what the exchange lacks); its index is `datetime` (UTC). A
            long gap, and what follows the last candle that arrived, is a separate response without candles. What has
            arrived is yielded before an error or Ctrl-C is raised.

        Raises:
            ValueError: the timeframe is not one of `TIMEFRAMES`.
            UnknownMarketError: the exchange does not have the market.
            ProviderUnavailableError: the exchange could not be reached, or every attempt failed.
            ProviderError: the exchange does not have candles of the timeframe, or refused the request.
        """
        self.check_market(request.symbol, request.timeframe)
        symbol, timeframe = request.symbol, TIMEFRAMES[request.timeframe]
        exchange = self.exchange()
        seconds = SECONDS[timeframe]
        page = exchange.feature_value(symbol, "fetchOHLCV", "limit", None) or _DEFAULT_PAGE

        def fetch(since: int, count: int) -> list[list[Any]]:
            with self._lock:
                return self._call(lambda: exchange.fetch_ohlcv(symbol, timeframe, since * 1000, count))

        total = sum(-((start - end) // seconds) for start, end in request.ranges)
        name = f"{request.label or symbol} {timeframe} from {self._name}"
        with downloading(name, total, shown=request.progress) as bar:
            for start, end in request.ranges:
                for response in _responses(fetch, start, end, seconds, int(page)):
                    bar.advance((response.end - response.start) // seconds)
                    yield response

    def check_market(self, symbol: str, timeframe: str) -> None:
        """Raise unless the exchange has candles of a market ("BTC/USDT") in one of `TIMEFRAMES`.

        Raises what `bars` raises.
        """
        if timeframe not in TIMEFRAMES:
            raise ValueError(f"candles are those of {', '.join(TIMEFRAMES)}, not {timeframe!r}")
        exchange, length = self.exchange(), TIMEFRAMES[timeframe]
        if symbol not in exchange.markets:
            base = symbol.partition("/")[0]
            similar = sorted(market for market in exchange.markets if market.partition("/")[0] == base)
            listed = ", ".join(similar[:8]) + (", …" if len(similar) > 8 else "")
            others = f"; of {base} it has {listed}" if similar else ""
            raise UnknownMarketError(
                f"{self._name} has no market {symbol}{others}. Name a market by its base and its quote, e.g. BTC and "
                "USDT for BTC/USDT."
            )
        if not exchange.has["fetchOHLCV"] or length not in (exchange.timeframes or {}):
            raise ProviderError(
                f"{self._name} gives no candles of {length} through ccxt: choose another exchange, or another timestep."
            )

    def time(self, symbol: str) -> float | None:
        """Return what the exchange's clock shows, in epoch seconds; None if it shows nothing.

        Of an exchange that ccxt cannot ask for its time, it is the date of an answer about the market `symbol`.
        Raises `ProviderUnavailableError` and `ProviderError`, as `bars` does.
        """
        exchange = self.exchange()
        with self._lock:
            if exchange.has["fetchTime"]:
                shown = self._call(exchange.fetch_time)
                return None if shown is None else shown / 1000
            self._call(lambda: exchange.fetch_ohlcv(symbol, limit=1))
            return date_of_answer(exchange)

    def stop(self) -> None:
        """End the pauses between attempts, also those to come: requests that would be repeated raise `StoppedError`."""
        self._stopped.set()

    def _call(self, call: Callable[[], Result]) -> Result:
        answer = call_with_retries(
            call,
            self._limit,
            name=self._name,
            explain=lambda error: explain(error, self._exchange, self._name),
            stop=self._stopped,
        )
        self.clock.note(self._exchange.last_response_headers or {})
        return answer


def check_exchange(exchange_id: str) -> None:
    """Raise `ProviderError` unless ccxt knows an exchange with this id."""
    if exchange_id not in ccxt.exchanges:
        raise ProviderError(
            f"ccxt knows no exchange {exchange_id!r}: exchange_id is one of its ids in lower case, such as 'binance', "
            "'coinbase' or 'kraken'."
        )


def _responses(
    fetch: Callable[[int, int], list[list[Any]]], start: int, end: int, seconds: int, page: int
) -> Generator[BarResponse, None, None]:
    """Yield the candles of a range, a few pages at a time.

    A gap of more than a page, and one after the last candle that arrived, is a response without candles: the exchange
    may still add some there.
    """
    begun = since = start
    rows: list[list[Any]] = []
    pages = 0
    while since < end:
        count = min(page, -((since - end) // seconds))
        try:
            answer = sorted((row for row in fetch(since, count) if row[0] >= since * 1000), key=_start_of)
        except (Exception, KeyboardInterrupt):
            yield from _response(begun, since, rows, seconds)
            raise
        first = min(end, answer[0][0] // 1000 if answer else since + count * seconds)
        if first - since > page * seconds:  # not listed yet, or closed for long
            yield from _response(begun, since, rows, seconds)
            yield BarResponse(since, first, candle_frame([]))
            begun, rows, pages = first, [], 0
        rows += [row for row in answer if row[0] < end * 1000]
        since = min(end, answer[-1][0] // 1000 + seconds) if answer else first
        pages += 1
        if pages == _PAGES_PER_RESPONSE:
            yield from _response(begun, since, rows, seconds)
            begun, rows, pages = since, [], 0
    yield from _response(begun, since, rows, seconds)


def _response(begun: int, since: int, rows: list[list[Any]], seconds: int) -> Generator[BarResponse, None, None]:
    """Yield the candles from `begun` up to the last one, and the empty rest before `since`."""
    if rows:
        reached = min(since, rows[-1][0] // 1000 + seconds)
        yield BarResponse(begun, reached, candle_frame(rows))
        begun = reached
    if since > begun:
        yield BarResponse(begun, since, candle_frame([]))


def _start_of(row: list[Any]) -> int:
    return int(row[0])


def candle_frame(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return candles of ccxt (start in ms, open, high, low, close, volume) as the frame of a response."""
    values = np.array([row[1:6] for row in rows], dtype="float64").reshape(-1, len(COLUMNS))
    times = pd.to_datetime(np.array([row[0] for row in rows], dtype="int64"), unit="ms", utc=True)
    frame = pd.DataFrame(values, index=pd.DatetimeIndex(times, name="datetime"), columns=list(COLUMNS))
    once: pd.DataFrame = frame[~frame.index.duplicated()]
    return once
