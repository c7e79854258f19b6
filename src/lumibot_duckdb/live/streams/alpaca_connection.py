"""One connection to Alpaca's data streams, through its official client.

The client reconnects after every error, refused keys included, and only logs it. So only the parts below its loop are
used: they connect, authenticate, subscribe and decode.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import websockets
from alpaca.data.live.websocket import DataStream

from lumibot_duckdb.live.streams.bar_stream import StreamLostError, TooManyConnectionsError
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, PlanLimitError, ProviderError
from lumibot_duckdb.sources.shared.http_errors import quotable, quote_of

Handler: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]

_NAME = "Alpaca"
_ANSWER_SECONDS = 15.0
"""How long the server may take to answer a connection, a key or a subscription."""

# Alpaca documents these codes. The client raises the messages of some errors without their codes.
_CODES = {
    "not authenticated": 401,
    "auth failed": 402,
    "auth timeout": 404,
    "symbol limit exceeded": 405,
    "connection limit exceeded": 406,
    "slow client": 407,
    "v2 not enabled": 408,
    "insufficient subscription": 409,
    "internal error": 500,
}
_PASSING = {404, 407, 500}
_BUSY = 406
_KEY = {401, 402}
_PLAN = {405, 408, 409}


class AlpacaConnection(DataStream):
    """Sends the bars of some symbols, and their corrections, to `on_bar` over one connection.

    Args:
        url: The address of the stream of one feed.
        key, secret: The API key and its secret.
        symbols: Stocks, or pairs such as "BTC/USD".
        on_bar: Awaited with each bar and each correction, in Alpaca's form.
        on_subscribed: Called when Alpaca has confirmed the subscription.
        ping_seconds: The time between pings. An answer may take twice as long.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        symbols: Sequence[str],
        *,
        on_bar: Handler,
        on_subscribed: Callable[[], None],
        ping_seconds: float,
    ) -> None:
        super().__init__(
            url,
            key,
            secret,
            raw_data=True,
            websocket_params={
                "ping_interval": ping_seconds,
                "ping_timeout": 2 * ping_seconds,
                "close_timeout": ping_seconds,
                "max_queue": 1024,
            },
        )
        self._secrets = (key, secret)
        self._symbols = frozenset(symbols)
        self._on_subscribed = on_subscribed
        self._subscribed = asyncio.Event()
        self._closing = False
        for channel in ("bars", "updatedBars"):
            self._handlers[channel] = dict.fromkeys(symbols, on_bar)

    async def receive(self) -> None:
        """Connect, subscribe, and receive until the connection is lost or closed. Raises as `BarStream.run` does."""
        try:
            await asyncio.wait_for(self._start_ws(), _ANSWER_SECONDS)
            if self._closing:  # while the connection was made
                return
            await self._send_subscribe_msg()
            self._running = True
            await self._receive_subscribed()
        except (StreamLostError, ProviderError):
            raise
        except (websockets.WebSocketException, OSError, asyncio.TimeoutError, EOFError) as error:
            if not self._closing:
                raise StreamLostError(f"the connection to Alpaca was lost ({_cause(error)})") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if not self._closing:
                raise self._refusal(str(error)) from None
        finally:
            await self._close_quietly()

    async def _receive_subscribed(self) -> None:
        """Receive messages; the first one has to confirm the subscription."""
        receiving = asyncio.ensure_future(self._consume())
        try:
            await asyncio.wait(
                [receiving, asyncio.ensure_future(self._subscribed.wait())],
                timeout=_ANSWER_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not receiving.done() and not self._subscribed.is_set():
                raise StreamLostError("Alpaca did not confirm the subscription")
            await receiving
        finally:
            receiving.cancel()
            self._subscribed.set()

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        kind = msg.get("T")
        if kind == "error":
            raise self._refusal(str(msg.get("msg")), msg.get("code"))
        if kind == "subscription":
            self._confirm(msg)
        else:
            await super()._dispatch(msg)

    def _confirm(self, confirmation: Mapping[str, Any]) -> None:
        lacking = sorted(self._symbols - set(confirmation.get("bars") or ()))
        if lacking:
            raise ProviderError(f"Alpaca did not subscribe to {', '.join(lacking)}: check these symbols.")
        self._subscribed.set()
        self._on_subscribed()

    async def end(self) -> None:
        """Close the connection, which ends `receive`."""
        self._closing = True
        await self._close_quietly()

    async def _close_quietly(self) -> None:
        connection: Any = self._ws
        self._ws = None
        if connection is not None:
            try:
                await asyncio.wait_for(connection.close(), 2.0)
            except (websockets.WebSocketException, OSError, asyncio.TimeoutError):
                connection.transport.abort()  # the other end is gone, and will not answer

    def _refusal(self, message: str, code: Any = None) -> Exception:
        """Return the error for an error message of the stream."""
        message = quotable(message, self._secrets)
        number = code if isinstance(code, int) else _CODES.get(message.strip().lower())
        quote = quote_of(_NAME, message)
        if number is None:
            return StreamLostError(f"Alpaca's stream sent something unexpected{quote}")
        if number in _PASSING:
            return StreamLostError(f"Alpaca ended the connection{quote}")
        if number == _BUSY:
            return TooManyConnectionsError(
                f"Alpaca allows no further connection{quote}: most plans allow one for each feed. Stop the other "
                "program that uses this key and feed, or record its symbols there"
            )
        if number in _KEY:
            return InvalidKeyError(
                f"Alpaca does not accept the API key{quote}: compare ALPACA_API_KEY and ALPACA_API_SECRET with what "
                "the account at alpaca.markets shows."
            )
        if number in _PLAN:
            return PlanLimitError(
                f"The Alpaca plan behind the API key does not include this{quote}: name fewer symbols (--symbols), or "
                "another feed (--feed iex is in every plan)."
            )
        return ProviderError(f"Alpaca refuses the subscription{quote} (code {number}): check the symbols and the feed.")


def _cause(error: BaseException) -> str:
    text = str(error)
    return type(error).__name__ if not text else text if len(text) < 200 else f"{text[:200]}…"
