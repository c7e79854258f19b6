"""One connection to the candles of an exchange, through ccxt's official websocket client.

ccxt keeps the latest candles of each market in a cache, which outlives a lost connection, and whose lists it changes in
place. So each connection has an exchange object of its own, and candles are copied. ccxt's methods return one market
after another, and leave out what arrives while nobody waits for it. So they are only used to wait: the candles of all
markets are read from the cache.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import ccxt.pro  # type: ignore[import-untyped]
import pandas as pd

from lumibot_duckdb.live.streams.bar_stream import StreamLostError
from lumibot_duckdb.live.streams.streamed_candles import KEPT_CANDLES, Candle
from lumibot_duckdb.sources.ccxt.client import COLUMNS
from lumibot_duckdb.sources.ccxt.http import explain
from lumibot_duckdb.sources.shared.errors import ProviderError

_MARKETS_PER_MESSAGE = 100


class _LosersOfRaces(logging.Filter):
    """Drops what asyncio logs about the futures of ccxt: when a connection is lost, ccxt fails one for each market.

    The first one is awaited, and raises; the others only repeat it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, ccxt.BaseError) and "never retrieved" in record.getMessage())


logging.getLogger("asyncio").addFilter(_LosersOfRaces())


class CcxtConnection:
    """A connection to some markets of an exchange.

    Args:
        source: ccxt's REST object of the exchange, whose markets are loaded.
        symbols: ccxt's names of the markets.
        timeframe: ccxt's name of the timeframe ("1m").
    """

    def __init__(self, source: Any, symbols: Sequence[str], timeframe: str) -> None:
        options = {"OHLCVLimit": KEPT_CANDLES}
        self._exchange = getattr(ccxt.pro, source.id)({"enableRateLimit": True, "options": options})
        self._exchange.set_markets_from_exchange(source)
        self._name = str(source.name or source.id)
        self._symbols = symbols
        self._timeframe = timeframe

    async def receive(self, on_candles: Callable[[], None]) -> None:
        """Subscribe, and call `on_candles` whenever the candles have changed.

        Raises:
            StreamLostError: the connection was lost.
            ProviderError: the exchange refuses the subscription.
        """
        try:
            await first_to_end([self._watch(waiting, on_candles) for waiting in self._waits()])
        except Exception as error:
            raise self._explained(error) from None

    def _waits(self) -> list[Callable[[], Any]]:
        """Return functions that wait for the next candles: one for many markets, or for each, as ccxt allows."""
        exchange, symbols, timeframe = self._exchange, self._symbols, self._timeframe
        if exchange.has["watchOHLCVForSymbols"]:
            pairs = [[symbol, timeframe] for symbol in symbols]
            parts = [pairs[at : at + _MARKETS_PER_MESSAGE] for at in range(0, len(pairs), _MARKETS_PER_MESSAGE)]
            return [lambda part=part: exchange.watch_ohlcv_for_symbols(part) for part in parts]  # type: ignore[misc]
        return [lambda symbol=symbol: exchange.watch_ohlcv(symbol, timeframe) for symbol in symbols]  # type: ignore[misc]

    async def _watch(self, wait: Callable[[], Any], on_candles: Callable[[], None]) -> None:
        while True:
            await wait()
            on_candles()

    def _explained(self, error: Exception) -> Exception:
        failure = explain(error, self._exchange, self._name)
        if isinstance(error, ccxt.NotSupported):
            return ProviderError(f"{self._name} sends no candles of {self._timeframe} through ccxt: {error}.")
        return failure.refusal or StreamLostError(f"{self._name} {failure.reason}")

    @property
    def is_open(self) -> bool:
        """Whether all connections that ccxt needs have been made."""
        clients = (self._exchange.clients or {}).values()
        return bool(clients) and all(client.isConnected for client in clients)

    def candles(self, symbol: str) -> list[Candle]:
        """Return the latest candles of a market, in the order in which they arrived; the last may be unfinished."""
        stored = self._exchange.ohlcvs.get(symbol)
        rows = stored.get(self._timeframe) if isinstance(stored, dict) else stored
        return [_candle(row) for row in rows or ()]

    async def close(self) -> None:
        """Close the connection."""
        await self._exchange.close()


def check_streamed(exchange_id: str) -> None:
    """Raise `ProviderError` unless an exchange that ccxt knows streams candles."""
    exchange = getattr(ccxt.pro, exchange_id, None)
    if exchange is None or not exchange().has["watchOHLCV"]:
        raise ProviderError(
            f"{exchange_id} sends no candles over websockets through ccxt: choose another exchange, such as binance, "
            "bybit, kraken, kucoin or okx."
        )


async def first_to_end(coroutines: Sequence[Any]) -> None:
    """Run coroutines until one of them ends, and raise what it raises. The others are cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def candles_of(bars: pd.DataFrame) -> list[Candle]:
    """Return the candles of a REST response."""
    starts = pd.DatetimeIndex(bars.index).as_unit("s").asi8.tolist()
    columns = [bars[name].tolist() for name in COLUMNS]
    return [Candle(*row) for row in zip(starts, *columns, strict=True)]


def _candle(row: Sequence[Any]) -> Candle:
    """Return a candle of ccxt's, whose numbers are texts at some exchanges."""
    start, *numbers = islice(row, 6)
    return Candle(int(start) // 1000, *(math.nan if number is None else float(number) for number in numbers))
