"""A loopback server of Alpaca's data streams, and of the REST API with the same bars, on a clock that a test moves.

The stream follows Alpaca's documentation: it says "connected", takes one "auth" message, then "subscribe" and
"unsubscribe". It answers in msgpack if the header Content-Type says so, which the official client sends, else in JSON.
Bars of a minute are sent when it has ended, `updatedBars` when a test corrects a bar.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

import msgpack
import numpy as np
import pandas as pd
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from lumibot_duckdb import clock
from sources.alpaca.server import KEY, SECRET, AlpacaServer
from wire.loopback import Answer, Request

CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors")
LETTERS = {"bars": "b", "updatedBars": "u", "dailyBars": "d"}
_LATEST = {"/v2/stocks/bars/latest": "stock", "/v1beta3/crypto/us/latest/bars": "crypto"}
_MINUTE = 60
_WITHHELD = {"message": "subscription does not permit querying recent SIP data"}


class SimulatedClock:
    """The time of the market. `wrong_by` seconds more are what the machine of the recorder believes."""

    def __init__(self, start: str) -> None:
        self.now = int(pd.Timestamp(start, tz="America/New_York").timestamp())
        self.wrong_by = 0

    def machine(self) -> datetime:
        return datetime.fromtimestamp(self.now + self.wrong_by, tz=timezone.utc)


@dataclass
class SimulatedRest(AlpacaServer):
    """The REST API as of the simulated clock: bars that have closed, of all exchanges only after 15 minutes.

    `feeds` has the bars of each feed by symbol; those of "sip" are what backtests get. `sip_delay` is for how many
    seconds the plan withholds them.
    """

    time: SimulatedClock = field(default_factory=lambda: SimulatedClock("2024-07-03 09:25"))
    known: tuple[str, ...] = ()
    sip_delay: int = 15 * _MINUTE

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recent = True
        self._asked = threading.local()  # requests are answered by several threads
        self.feeds: dict[str, dict[str, dict[int, dict[str, Any]]]] = {"iex": {}, "sip": {}, "us": {}}

    def answered_at(self) -> float:
        """Return the time of the market."""
        return self.time.now

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        authorised = headers.get("apca-api-key-id") == KEY and headers.get("apca-api-secret-key") == SECRET
        if request.path in _LATEST and authorised:
            if request.query.get("feed") == "sip" and self.sip_delay:
                return Answer(_WITHHELD, 403)
            known = [symbol for symbol in request.query["symbols"].split(",") if symbol in self.known]
            return Answer({"bars": {symbol: _as_json(_bar(0, 1.0), 0) for symbol in known}})
        return super().answer(request, headers)

    def _bars_answer(self, kind: str, request: Request) -> Answer:
        feed = "us" if kind == "crypto" else request.query.get("feed", "sip")
        last = pd.Timestamp(request.query["end"])
        last = (last.tz_localize("UTC") if last.tz is None else last).timestamp()
        if feed == "sip" and last > self.time.now - self.sip_delay:
            return Answer(_WITHHELD, 403)
        self._asked.feed = feed
        return super()._bars_answer(kind, request)

    def _rows(self, kind: str, symbol: str, timeframe: str, adjustment: str) -> Any:
        bars = self.feeds[self._asked.feed].get(symbol, {})
        starts = sorted(start for start in bars if start + _MINUTE <= self.time.now)
        return np.array(starts, dtype="int64"), [json.dumps(_as_json(bars[start], start)) for start in starts]


class AlpacaStreamServer:
    """The stream and the REST API over one simulated market.

    Parameters:
        time: the clock.
        symbol_limit: how many symbols a connection may subscribe to (30 in the free plan).
        plan_feeds: the feeds that the plan includes.
        connections_allowed: how many authenticated connections there may be.
    """

    def __init__(
        self,
        time: SimulatedClock,
        known: Iterable[str],
        *,
        symbol_limit: int = 30,
        plan_feeds: Iterable[str] = ("iex", "sip", "delayed_sip", "us"),
        connections_allowed: int = 1,
    ) -> None:
        self.time = time
        self.rest = SimulatedRest(time=time, known=tuple(known))
        self.symbol_limit = symbol_limit
        self.plan_feeds = frozenset(plan_feeds)
        self.connections_allowed = connections_allowed
        self.refuse_connections = False
        self.counts_silent = False
        self.connections = 0
        self.sent = 0
        self._sessions: list[_Session] = []
        self._silent: list[_Session] = []
        self._loop = asyncio.new_event_loop()
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    # -- life ------------------------------------------------------------------------------------------------

    def __enter__(self) -> AlpacaStreamServer:
        self.rest.__enter__()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.rest.__exit__(kind, error, trace)

    async def _start(self) -> None:
        self._server = await serve(self._serve, "127.0.0.1", self.port, ping_interval=None, close_timeout=0.2)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        for session in self._silent:
            session.connection.transport.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, connection: ServerConnection) -> None:
        if self.refuse_connections:
            connection.transport.abort()
            return
        self.connections += 1
        session = _Session(self, connection)
        try:
            await session.serve()
        except ConnectionClosed:
            pass
        finally:
            if session in self._sessions:
                self._sessions.remove(session)

    # -- what a test does ------------------------------------------------------------------------------------

    @property
    def subscribed(self) -> int:
        """How many connections have subscribed to something, and are not silent."""
        return sum(any(each.channels.values()) for each in list(self._sessions) if each not in self._silent)

    @property
    def counted(self) -> int:
        """How many connections count for the limit: silent ones only while `counts_silent`."""
        return sum(self.counts_silent or each not in self._silent for each in list(self._sessions))

    def trade(self, symbol: str, price: float, *, feed: str = "iex", at: int | None = None, volume: int = 100) -> None:
        """Let there be a bar of the minute that ends now (or starts `at`), in the REST API; `publish` sends it."""
        start = self.time.now - _MINUTE if at is None else at
        self.rest.feeds[feed].setdefault(symbol, {})[start] = _bar(volume, price)

    def publish(self, symbol: str, start: int, *, feed: str = "iex", channel: str = "bars", **changes: Any) -> None:
        """Send a bar to all who are subscribed to it, with changes that the REST API does not know."""
        bar = {**self.rest.feeds[feed][symbol][start], **changes}
        self._call(self._send({"T": LETTERS[channel], "S": symbol}, bar, start, channel))

    def minute(self, prices: Mapping[str, float], *, feeds: Iterable[str] = ("iex", "sip"), send: str = "iex") -> None:
        """Let a minute pass: move the clock, and send the bars of what was traded."""
        self.time.now += _MINUTE
        start = self.time.now - _MINUTE
        for symbol, price in prices.items():
            for feed in feeds:
                self.trade(symbol, price, feed=feed, volume=100 if feed == send else 300)
            self.publish(symbol, start, feed=send)

    def disconnect(self) -> None:
        """Break off all connections."""
        self._call(self._each(lambda session: session.connection.transport.abort()))
        self._call(self._without_sessions())

    def half_close(self) -> None:
        """Send the end of all connections, but continue to read from them."""
        self._call(self._each(lambda session: session.connection.transport.write_eof()))

    def fall_silent(self) -> None:
        """Stop reading from and writing to the present connections, without closing them."""
        self._silent += self._sessions
        self._call(self._each(lambda session: session.connection.transport.pause_reading()))

    def fail(self, code: int, message: str) -> None:
        """Send an error to all connections, and close them."""
        for session in list(self._sessions):
            self._call(session.refuse(code, message))
        self._call(self._without_sessions())

    async def _without_sessions(self) -> None:
        """Wait until the present connections have ended, except silent ones."""
        present = [each for each in self._sessions if each not in self._silent]
        while any(each in self._sessions for each in present):
            await asyncio.sleep(0.001)

    async def _each(self, action: Callable[[_Session], Any]) -> None:
        for session in list(self._sessions):
            action(session)

    async def _send(self, head: Mapping[str, Any], bar: Mapping[str, Any], start: int, channel: str) -> None:
        for session in list(self._sessions):
            wanted = session.channels.get(channel, set())
            if session not in self._silent and (head["S"] in wanted or "*" in wanted):
                with suppress(ConnectionClosed):  # the other end is gone
                    await session.send([{**head, **session.bar(bar, start)}])
                    self.sent += 1


class _Session:
    """One connection."""

    def __init__(self, server: AlpacaStreamServer, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.connection = connection
        self.channels: dict[str, set[str]] = {}
        self._server = server
        self._packs = connection.request.headers.get("Content-Type") == "application/msgpack"
        self._feed = connection.request.path.rpartition("/")[2]

    async def serve(self) -> None:
        await self.send([{"T": "success", "msg": "connected"}])
        if not await self._authenticated():
            return
        async for raw in self.connection:
            message = self._read(raw)
            if message.get("action") == "subscribe":
                if not await self._subscribe(message):
                    return
            elif message.get("action") == "unsubscribe":
                for channel, symbols in self._lists(message).items():
                    self.channels[channel] -= symbols
                await self._confirm()
            else:
                await self.refuse(400, "invalid syntax", close=False)

    async def _authenticated(self) -> bool:
        message = self._read(await self.connection.recv())
        if message.get("action") != "auth":
            return await self.refuse(401, "not authenticated")
        if message.get("key") != KEY or message.get("secret") != SECRET:
            return await self.refuse(402, "auth failed")
        if self._feed not in self._server.plan_feeds:
            return await self.refuse(409, "insufficient subscription")
        if self._server.counted >= self._server.connections_allowed:
            return await self.refuse(406, "connection limit exceeded")
        self._server._sessions.append(self)
        await self.send([{"T": "success", "msg": "authenticated"}])
        return True

    async def _subscribe(self, message: Mapping[str, Any]) -> bool:
        lists = self._lists(message)
        if any("/" in symbol for symbols in lists.values() for symbol in symbols) != (self._feed == "us"):
            return await self.refuse(400, "invalid syntax", close=False)
        for channel, symbols in lists.items():
            self.channels.setdefault(channel, set()).update(symbols)
        if any(len(symbols) > self._server.symbol_limit for symbols in self.channels.values()):
            self.channels.clear()
            await self.refuse(405, "symbol limit exceeded", close=False)
            return True
        await self._confirm()
        return True

    @staticmethod
    def _lists(message: Mapping[str, Any]) -> dict[str, set[str]]:
        return {channel: set(message[channel]) for channel in CHANNELS if channel in message}

    async def _confirm(self) -> None:
        listed = {channel: sorted(self.channels.get(channel, ())) for channel in CHANNELS}
        await self.send([{"T": "subscription", **listed}])

    async def refuse(self, code: int, message: str, *, close: bool = True) -> bool:
        await self.send([{"T": "error", "code": code, "msg": message}])
        if close:
            await self.connection.close()
        return False

    async def send(self, messages: list[dict[str, Any]]) -> None:
        text = msgpack.packb(messages) if self._packs else json.dumps(messages)
        await self.connection.send(text)

    def _read(self, raw: str | bytes) -> dict[str, Any]:
        found = msgpack.unpackb(raw) if isinstance(raw, bytes) else json.loads(raw)
        assert isinstance(found, dict)
        return found

    def bar(self, bar: Mapping[str, Any], start: int) -> dict[str, Any]:
        moment = datetime.fromtimestamp(start, tz=timezone.utc)
        time = msgpack.Timestamp.from_datetime(moment) if self._packs else moment.isoformat().replace("+00:00", "Z")
        return {**bar, "t": time}


def _bar(volume: int, price: float) -> dict[str, Any]:
    low, high = round(price - 0.25, 4), round(price + 0.5, 4)
    return {"o": price, "h": high, "l": low, "c": round(price + 0.125, 4), "v": volume, "n": 7, "vw": price}


def _as_json(bar: Mapping[str, Any], start: int) -> dict[str, Any]:
    return {"t": datetime.fromtimestamp(start, tz=timezone.utc).isoformat().replace("+00:00", "Z"), **bar}


def machine_clock(time: SimulatedClock, monkeypatch: Any) -> None:
    """Let the package read the simulated clock."""
    monkeypatch.setattr(clock, "utc_now", time.machine)
