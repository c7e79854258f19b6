"""Candles of the exchanges that ccxt knows, through its official client. No keys are needed, and none are used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ccxt  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
from requests.exceptions import HTTPError, RequestException
from tqdm import tqdm

from lumibot_duckdb.sources.shared.errors import ProviderError, UnknownMarketError
from lumibot_duckdb.sources.shared.retry import Patience, RateLimit, Trouble, patiently, seconds_of

Result = TypeVar("Result")

SECONDS = {"1m": 60, "1h": 3_600, "1d": 86_400}
"""Length of a candle of each timeframe."""

COLUMNS = ("open", "high", "low", "close", "volume")
EXCHANGES: dict[str, CcxtProvider] = {}
"""The exchanges that this process has asked, by id: each loads its markets once."""

_USUAL_PAGE = 300  # candles, where ccxt does not know what the exchange allows
_PAGES_A_CHUNK = 10
_LONGEST_QUOTE = 300
_UNAVAILABLE_FOR_LEGAL_REASONS = 451
_making = threading.Lock()


@dataclass(frozen=True)
class Candles:
    """All candles that start within a half-open range of epoch seconds, as `CcxtProvider.candles` describes them."""

    start: int
    end: int
    frame: pd.DataFrame


class CcxtProvider:
    """Downloads candles from one exchange. Safe to use from several threads: requests are sent one at a time.

    ccxt itself keeps the pause between requests that the exchange wants. Rate limits that are reached nevertheless are
    waited for; passing faults are tried again. What remains is raised as a `ProviderError`.
    """

    def __init__(self, exchange: ccxt.Exchange, *, patience: Patience | None = None) -> None:
        self._exchange = exchange
        _insist_on_json(exchange)
        self._name = str(exchange.name or exchange.id)
        self._limit = RateLimit(patience or Patience(), self._name)
        self._asking = threading.RLock()

    @classmethod
    def of(cls, exchange_id: str) -> CcxtProvider:
        """Return the provider of this process for an exchange ("binance", "kraken", …); nothing is asked yet.

        Raises:
            ProviderError: ccxt knows no such exchange.
        """
        check_exchange(exchange_id)
        with _making:
            if exchange_id not in EXCHANGES:
                EXCHANGES[exchange_id] = cls(getattr(ccxt, exchange_id)({"enableRateLimit": True}))
            return EXCHANGES[exchange_id]

    def exchange(self) -> ccxt.Exchange:
        """Return ccxt's object, its markets loaded (once).

        Raises:
            ProviderUnavailableError, ProviderError: the exchange does not answer, or refuses.
        """
        with self._asking:
            if not self._exchange.markets:
                self._patiently(self._exchange.load_markets)
        return self._exchange

    def candles(
        self, symbol: str, timeframe: str, spans: Sequence[tuple[int, int]], *, progress: bool = True
    ) -> Generator[Candles, None, None]:
        """Download the candles that start within half-open spans of epoch seconds, and yield them piece by piece.

        `symbol` is ccxt's ("BTC/USDT"), `timeframe` "1m", "1h" or "1d". The pieces of a span come in order and leave
        nothing out; a frame has the columns open, high, low, close, volume (float64, NaN for what the exchange does
        not give) by candle start (`datetime`, UTC), sorted, each start once. What arrived before an error or Ctrl-C is
        yielded before that is raised.

        Raises:
            UnknownMarketError: the exchange has no such market.
            ProviderUnavailableError: it could not be reached, or went on failing.
            ProviderError: it has no candles of that timeframe, or refuses.
        """
        exchange = self.exchange()
        self._check(exchange, symbol, timeframe)
        seconds = SECONDS[timeframe]
        page = exchange.feature_value(symbol, "fetchOHLCV", "limit", None) or _USUAL_PAGE

        def fetch(since: int, count: int) -> list[list[Any]]:
            with self._asking:
                return self._patiently(lambda: exchange.fetch_ohlcv(symbol, timeframe, since * 1000, count))

        total = sum(-((start - end) // seconds) for start, end in spans)
        with tqdm(
            total=total,
            desc=f"Downloading {symbol} {timeframe} from {self._name}",
            unit=" candles",
            dynamic_ncols=True,
            disable=None if progress else True,
        ) as bar:
            for start, end in spans:
                for piece in _pieces(fetch, start, end, seconds, int(page)):
                    bar.update((piece.end - piece.start) // seconds)
                    yield piece

    def _check(self, exchange: ccxt.Exchange, symbol: str, timeframe: str) -> None:
        if symbol not in exchange.markets:
            base = symbol.partition("/")[0]
            kin = sorted(market for market in exchange.markets if market.partition("/")[0] == base)
            others = f"; of {base} it has {', '.join(kin[:8])}{', …' if len(kin) > 8 else ''}" if kin else ""
            raise UnknownMarketError(
                f"{self._name} has no market {symbol}{others}. Name a market by its base and its quote, e.g. BTC and "
                "USDT for BTC/USDT."
            )
        if not exchange.has["fetchOHLCV"] or timeframe not in (exchange.timeframes or {}):
            raise ProviderError(
                f"{self._name} gives no candles of {timeframe} through ccxt: choose another exchange, or another "
                "timestep."
            )

    def _patiently(self, call: Callable[[], Result]) -> Result:
        return patiently(call, self._understand, self._limit, threading.Event(), name=self._name)

    def _understand(self, error: Exception) -> Trouble:
        said = " ".join(str(error).split())[:_LONGEST_QUOTE]
        status = _status_of(error)
        if isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
            headers = self._exchange.last_response_headers or {}
            return Trouble("had too many requests", limited=True, retry_after=seconds_of(headers.get("Retry-After")))
        if status == _UNAVAILABLE_FOR_LEGAL_REASONS:
            return _refused(f"{self._name} does not serve the place that this computer is at: choose another exchange.")
        if isinstance(error, ccxt.RequestTimeout):
            return Trouble("did not answer in time")
        if isinstance(error, ccxt.BadResponse):
            return Trouble("gave an answer that could not be read")
        if isinstance(error, ccxt.ExchangeNotAvailable) or (status is not None and status >= 500):
            return Trouble(f"is not available ({said})")
        if isinstance(error, ccxt.NetworkError) or isinstance(error.__cause__, RequestException):
            return Trouble("could not be reached, or broke the connection off")
        if isinstance(error, ccxt.BadSymbol):
            return Trouble("", refusal=UnknownMarketError(f"{self._name} does not know this market ({said})."))
        if isinstance(error, ccxt.BaseError):
            return _refused(f"{self._name} refuses the request ({said}): check the symbol and the dates.")
        return Trouble(f"gave an answer that could not be understood ({type(error).__name__})")


def check_exchange(exchange_id: str) -> None:
    """Raise `ProviderError` unless ccxt knows an exchange of this id."""
    if exchange_id not in ccxt.exchanges:
        raise ProviderError(
            f"ccxt knows no exchange {exchange_id!r}: exchange_id is one of its ids in lower case, such as 'binance', "
            "'coinbase' or 'kraken'."
        )


def _status_of(error: Exception) -> int | None:
    """Return the HTTP status behind an error of ccxt; None where there was no answer, or a good one."""
    for behind in (error.__cause__, error.__context__):
        if isinstance(behind, HTTPError) and behind.response is not None:
            return int(behind.response.status_code)
    return None


def _insist_on_json(exchange: ccxt.Exchange) -> None:
    """Have ccxt raise `BadResponse` for a good answer that is no JSON, which to it is a list without entries."""
    status = 0
    note, parse = exchange.on_rest_response, exchange.parse_json

    def noted(code: int, *rest: Any) -> Any:
        nonlocal status
        status = code
        return note(code, *rest)

    def parsed(text: str) -> Any:
        body = parse(text)
        if body is None and status < 400:
            raise ccxt.BadResponse("no JSON")
        return body

    exchange.on_rest_response, exchange.parse_json = noted, parsed


def _refused(message: str) -> Trouble:
    return Trouble("", refusal=ProviderError(message))


def _pieces(
    fetch: Callable[[int, int], list[list[Any]]], start: int, end: int, seconds: int, page: int
) -> Generator[Candles, None, None]:
    """Yield a span in pieces of a few pages each.

    A gap of more than a page, and one after the last candle that came, is a piece of its own, without candles: whether
    there never will be any is not known then.
    """
    begun = since = start
    rows: list[list[Any]] = []
    pages = 0
    while since < end:
        count = min(page, -((since - end) // seconds))
        try:
            answer = sorted((row for row in fetch(since, count) if row[0] >= since * 1000), key=_start_of)
        except (Exception, KeyboardInterrupt):
            yield from _piece(begun, since, rows, seconds)
            raise
        first = min(end, answer[0][0] // 1000 if answer else since + count * seconds)
        if first - since > page * seconds:  # not listed yet, or closed for long
            yield from _piece(begun, since, rows, seconds)
            yield Candles(since, first, _frame([]))
            begun, rows, pages = first, [], 0
        rows += [row for row in answer if row[0] < end * 1000]
        since = min(end, answer[-1][0] // 1000 + seconds) if answer else first
        pages += 1
        if pages == _PAGES_A_CHUNK:
            yield from _piece(begun, since, rows, seconds)
            begun, rows, pages = since, [], 0
    yield from _piece(begun, since, rows, seconds)


def _piece(begun: int, since: int, rows: list[list[Any]], seconds: int) -> Generator[Candles, None, None]:
    """Yield what came of a range up to its last candle, and what is left of it."""
    if rows:
        reached = min(since, rows[-1][0] // 1000 + seconds)
        yield Candles(begun, reached, _frame(rows))
        begun = reached
    if since > begun:
        yield Candles(begun, since, _frame([]))


def _start_of(row: list[Any]) -> int:
    return int(row[0])


def _frame(rows: list[list[Any]]) -> pd.DataFrame:
    values = np.array([row[1:6] for row in rows], dtype="float64").reshape(-1, len(COLUMNS))
    times = pd.to_datetime(np.array([row[0] for row in rows], dtype="int64"), unit="ms", utc=True)
    frame = pd.DataFrame(values, index=pd.DatetimeIndex(times, name="datetime"), columns=list(COLUMNS))
    once: pd.DataFrame = frame[~frame.index.duplicated()]
    return once
