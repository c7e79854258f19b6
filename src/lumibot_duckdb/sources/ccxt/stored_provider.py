"""Answers ccxt's exchanges from the store: their markets, and their candles with the exchange's own numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

import ccxt  # type: ignore[import-untyped]
from lumibot.tools import ccxt_data_store
from lumibot.tools.ccxt_data_store import CcxtCacheDB

from lumibot_duckdb.lumibot_contract.ccxt_hooks import DOWNLOAD
from lumibot_duckdb.sources.ccxt.cache_emulation import TIMEFRAMES
from lumibot_duckdb.sources.ccxt.client import COLUMNS, SECONDS
from lumibot_duckdb.sources.ccxt.markets import series_of
from lumibot_duckdb.sources.shared.replacing import replaced, without_pauses
from lumibot_duckdb.sources.shared.stored_answers import StoredAnswers
from lumibot_duckdb.storage.api import SeriesKey, TimeRange

_USUAL_PAGE = 300
_PAIR = re.compile(r"[^/:\-\s]+/[^/:\-\s]+(:[^/:\s]+)?")


_needed_until: ContextVar[datetime | None] = ContextVar("until when Lumibot needs candles", default=None)


@contextmanager
def answering(answers: StoredAnswers) -> Iterator[None]:
    """Answer every exchange object that is constructed within a `with` block from the store."""
    made, download = ccxt.Exchange.__init__, getattr(CcxtCacheDB, DOWNLOAD)

    def download_until(
        cache: Any, symbol: str, timeframe: str, limit: Any = None, start: Any = None, end: Any = None
    ) -> Any:
        """Download like Lumibot, and remember the end of the range that it needs, because it requests whole pages."""
        before = _needed_until.set(end)
        try:
            return download(cache, symbol, timeframe, limit, start, end)
        finally:
            _needed_until.reset(before)

    def make(exchange: Any, *arguments: Any, **settings: Any) -> None:
        made(exchange, *arguments, **settings)
        if exchange.synchronous:
            _answer_from_store(exchange, answers)

    with (
        replaced(ccxt.Exchange, "__init__", make),
        replaced(CcxtCacheDB, DOWNLOAD, download_until),
        without_pauses(ccxt_data_store),
    ):
        yield


def _answer_from_store(exchange: Any, answers: StoredAnswers) -> None:
    """Answer the methods of an exchange object from the store."""

    def load_markets(reload: bool = False, params: Any = None) -> dict[str, Any]:
        if exchange.markets is None:
            exchange.markets = _Markets(exchange)
        markets: dict[str, Any] = exchange.markets
        return markets

    def fetch_ohlcv(
        symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[list[Any]]:
        if timeframe not in TIMEFRAMES:
            answers.notes.note(f"{timeframe} candles of {symbol} from {exchange.id}")
            return []
        key = series_of(symbol, exchange.id, TIMEFRAMES[timeframe])
        count = int(limit or _USUAL_PAGE)
        start = answers.now - count * SECONDS[timeframe] if since is None else -(-int(since) // 1000)
        return _candles(answers, key, start, count, SECONDS[timeframe])

    def fetch(url: str, *arguments: Any, **settings: Any) -> Any:
        answers.notes.note(f"{exchange.id}'s {url.partition('?')[0]}")
        raise ccxt.ExchangeNotAvailable(f"the store answers in place of {exchange.id} and does not have this")

    exchange.load_markets = exchange.loadMarkets = load_markets
    exchange.fetch_ohlcv = exchange.fetchOHLCV = fetch_ohlcv
    exchange.fetch = fetch


def _candles(answers: StoredAnswers, key: SeriesKey, start: int, count: int, seconds: int) -> list[list[Any]]:
    """Return the first `count` candles from a time on, up to the next gap in what is stored.

    Like most exchanges, this returns the next candles if there are none at the requested time.
    """
    page_end = start + count * seconds
    until = _needed_until.get()
    last = page_end if until is None else int(until.replace(tzinfo=timezone.utc).timestamp()) + 1
    missing = answers.missing(key, TimeRange(start, max(start, min(page_end, last))))
    answers.note(key, missing)
    pin = answers.pin(key)
    if pin is None:
        return []
    end = page_end if missing else next((r.end for r in answers.covered(key) if r.start <= start < r.end), page_end)
    found: list[list[Any]] = []
    reading = start
    while reading < end and len(found) < count:
        within = TimeRange(reading, min(end, reading + max(count, 5_000) * seconds))
        bars = answers.storage.read_bars(pin, within, COLUMNS, remember=False)
        columns = [[None if value != value else value for value in bars.columns[name].tolist()] for name in COLUMNS]
        found += map(list, zip((bars.times * 1000).tolist(), *columns, strict=True))
        reading = within.end
    return found[:count]


class _Markets(dict[str, Any]):
    """The markets of an exchange. They are not stored, so every market that is looked up exists."""

    def __init__(self, exchange: Any) -> None:
        super().__init__()
        self._exchange = exchange

    def __contains__(self, symbol: object) -> bool:
        if isinstance(symbol, str) and not super().__contains__(symbol) and _PAIR.fullmatch(symbol):
            base, _, quote = symbol.partition("/")
            market = {"id": symbol, "symbol": symbol, "base": base, "quote": quote, "active": True}
            self[symbol] = self._exchange.safe_market_structure(market)
        return super().__contains__(symbol)
