"""One connection to the candles of an exchange, through ccxt's official websocket client.

ccxt keeps the latest candles of each market in a cache, which outlives a lost connection. So each connection has its
own exchange object. The methods of ccxt show the cache of one market after another, and not what it contained
between two calls: updates that arrive together are seen as one, which may be the wrong one if they overtook each other.
So these methods only subscribe, and report that the connection was lost. The updates come from the caches themselves:
each market has one that notes them (`CandleUpdates`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import ccxt.pro  # type: ignore[import-untyped]
import pandas as pd
from ccxt.async_support.base.ws.cache import ArrayCacheByTimestamp  # type: ignore[import-untyped]
from ccxt.async_support.base.ws.client import Client  # type: ignore[import-untyped]

from lumibot_duckdb.live.streams.bar_stream import StreamLostError
from lumibot_duckdb.live.streams.streamed_candles import KEPT_CANDLES, Candle
from lumibot_duckdb.sources.ccxt.client import COLUMNS
from lumibot_duckdb.sources.ccxt.http import explain
from lumibot_duckdb.sources.shared.errors import ProviderError

_MARKETS_PER_MESSAGE = 100
_CLOSING_SECONDS = 2.0


class _LosersOfRaces(logging.Filter):
    """Drops what asyncio logs about the futures of ccxt: when a connection is lost, ccxt fails one for each market.

    The first one is awaited, and raises; the others only repeat it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, ccxt.BaseError) and "never retrieved" in record.getMessage())


logging.getLogger("asyncio").addFilter(_LosersOfRaces())


class CandleUpdates(ArrayCacheByTimestamp):  # type: ignore[misc]
    """ccxt's cache of the candles of a market, which also notes each update."""

    def __init__(self, on_update: Callable[[], None]) -> None:
        super().__init__(KEPT_CANDLES)
        self._on_update = on_update
        self._updates: list[Candle] = []

    def append(self, item: Sequence[Any]) -> None:
        """Take a candle as ccxt has it: the start in milliseconds, and numbers, which are texts at some exchanges."""
        super().append(item)
        candle = _candle(item)
        if candle is not None:
            self._updates.append(candle)
            self._on_update()

    def take(self) -> list[Candle]:
        """Return the updates since the last call, in the order in which they arrived."""
        taken, self._updates = self._updates, []
        return taken


class UndrainedClient(Client):  # type: ignore[misc]
    """ccxt's connection, without the shortcut past aiohttp by which it takes messages that have arrived together.

    It falsifies aiohttp's count of waiting bytes (ccxt 4.5.64 with aiohttp 3.14.4 or later), so that the connection
    falls silent after four thousand such messages.
    """

    buffer = None


def _without_draining(exchange_class: Any) -> Any:
    """Return a class of exchanges whose connections are `UndrainedClient`s."""

    def client(self: Any, url: str) -> Any:
        made = exchange_class.client(self, url)
        made.__class__ = UndrainedClient
        return made

    return type(exchange_class.__name__, (exchange_class,), {"client": client})


class CcxtConnection:
    """A connection to some markets of an exchange.

    Args:
        source: ccxt's REST object of the exchange, whose markets are loaded.
        symbols: ccxt's names of the markets.
        timeframe: ccxt's name of the timeframe ("1m").
        on_update: called whenever a candle was updated.
    """

    def __init__(self, source: Any, symbols: Sequence[str], timeframe: str, on_update: Callable[[], None]) -> None:
        self._exchange = _without_draining(getattr(ccxt.pro, source.id))({"enableRateLimit": True})
        self._exchange.set_markets_from_exchange(source)
        self._updates = {symbol: CandleUpdates(on_update) for symbol in symbols}
        self._exchange.ohlcvs = {symbol: {timeframe: updates} for symbol, updates in self._updates.items()}
        self._name = str(source.name or source.id)
        self._symbols = symbols
        self._timeframe = timeframe

    async def receive(self) -> None:
        """Subscribe, and receive until the connection is lost.

        Raises:
            StreamLostError: the connection was lost.
            ProviderError: the exchange refuses the subscription.
        """
        try:
            await first_to_end([_forever(waiting) for waiting in self._waits()])
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

    def take_updates(self, symbol: str) -> list[Candle]:
        """Return the updates of a market's candles since the last call, in the order in which they arrived."""
        return self._updates[symbol].take()

    async def close(self) -> None:
        """Close the connection. If the other end is gone, its answer is not waited for any longer."""
        try:
            await asyncio.wait_for(self._exchange.close(), _CLOSING_SECONDS)
        except asyncio.TimeoutError:
            await self._exchange.close()  # what is left is closed at once


def check_streamed(exchange_id: str) -> None:
    """Raise `ProviderError` unless an exchange that ccxt knows streams candles."""
    if exchange_id == "alpaca":  # its cache is not like those of the others
        raise ProviderError("candles of Alpaca come from its own client: use the provider alpaca.")
    exchange = getattr(ccxt.pro, exchange_id, None)
    if exchange is None or not exchange().has["watchOHLCV"]:
        raise ProviderError(
            f"{exchange_id} sends no candles over websockets through ccxt: choose another exchange, such as binance, "
            "bybit, kraken, kucoin or okx."
        )


async def _forever(wait: Callable[[], Any]) -> None:
    while True:
        await wait()


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


def _candle(item: Sequence[Any]) -> Candle | None:
    """Return a candle of ccxt; None if it is unusable. REST has it, too, and an exception would end ccxt's loop."""
    try:
        first, high, low, last = map(float, item[1:5])
        volume = math.nan if item[5] is None else float(item[5])
        candle = Candle(int(item[0]) // 1000, first, high, low, last, volume)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    usable = all(0 < price < math.inf for price in candle[1:5]) and not volume < 0
    return candle if usable else None


def candles_of(bars: pd.DataFrame) -> list[Candle]:
    """Return the candles of a REST response."""
    starts = pd.DatetimeIndex(bars.index).as_unit("s").asi8.tolist()
    columns = [bars[name].tolist() for name in COLUMNS]
    return [Candle(*row) for row in zip(starts, *columns, strict=True)]
