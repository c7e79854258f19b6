"""A loopback Binance with a market that trades: its REST API, its kline stream, and a clock that the test moves.

The stream is the one that Binance documents: text frames with JSON at `/ws` (bare events) and `/stream` (wrapped in the
name of their stream); `SUBSCRIBE`, `UNSUBSCRIBE` and `LIST_SUBSCRIPTIONS`, which are answered with their `id`; errors
with a code and a message; and the end of each connection after 24 hours. An event has the whole candle so far, and `x`
once it has closed. The other trades, of `/fapi` and `/dapi`, list no markets.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from unittest import mock

import ccxt.pro
import numpy as np
import pandas as pd
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from sources.ccxt.binance_server import INTERVALS, KLINES, BinanceServer
from wire.loopback import Answer, Request

TIME = "/api/v3/time"
COLUMNS = ["open", "high", "low", "close", "volume"]
DAY = 86_400

_RAW = re.compile(r"(/stream\.binance\.com)?/ws(/.*)?")
_COMBINED = "/stream"
_KLINE = re.compile(r"(?P<market>[a-z0-9]+)@kline_(?P<interval>\w+)")


@dataclass(frozen=True)
class Trades:
    """The trades of a market: times in epoch milliseconds, in order, prices and quantities."""

    times: np.ndarray[Any, np.dtype[np.int64]]
    prices: np.ndarray[Any, np.dtype[np.float64]]
    quantities: np.ndarray[Any, np.dtype[np.float64]]

    def candle(self, start: int, end: int) -> list[float]:
        """Return open, high, low, close and volume from `start` to before `end` (ms): flat if there was no trade."""
        first, stop = self.times.searchsorted((start, end))
        if first == stop:
            return [float(self.prices[max(first - 1, 0)])] * 4 + [0.0]
        prices = self.prices[first:stop]
        volume = float(np.add.reduce(self.quantities[first:stop]).round(8))
        return [float(prices[0]), float(prices.max()), float(prices.min()), float(prices[-1]), volume]


def random_trades(start: int, end: int, per_minute: float, seed: int, price: float = 100.0) -> Trades:
    """Return trades at random times between two times (epoch seconds); the first one is at `start`."""
    rng = np.random.default_rng(seed)
    count = max(1, round((end - start) / 60 * per_minute))
    times = np.sort(rng.integers(start * 1000, end * 1000, count))
    times[0] = start * 1000
    prices = (price * np.exp(np.cumsum(rng.normal(0, 5e-4, count)))).round(2)
    return Trades(times, prices, rng.uniform(0.001, 2, count).round(5))


@dataclass
class StreamFaults:
    """What is wrong with the stream at the moment."""

    silent: bool = False
    """Connections stay open, but nothing is sent."""
    refuses: bool = False
    """No connection can be made, as during maintenance."""
    rejects: bool = False
    """Subscriptions are answered with an error."""
    duplicates: bool = False
    """Each event is sent twice."""
    swaps: bool = False
    """A candle's last event comes after the first one of the next candle."""
    stale: bool = False
    """After a candle's last event, an earlier one of it is sent again."""
    held: float = 0.0
    """Events are sent so many seconds late, by the exchange's clock."""


@dataclass(eq=False)
class _Connection:
    socket: ServerConnection
    combined: bool
    opened: float
    streams: dict[str, None] = field(default_factory=dict)


@dataclass
class LiveBinanceServer(BinanceServer):
    """Fill it with `list_trades`, then let time pass with `advance`.

    Parameters:
        now: the exchange's clock, in epoch seconds.
        omits_empty: whether it has no candles of times without trades, like some other exchanges.
        announces_empty: whether the stream sends the candles of times without trades.
    """

    now: float = 0.0
    omits_empty: bool = False
    announces_empty: bool = False
    faults_of_stream: StreamFaults = field(default_factory=StreamFaults)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._trades: dict[str, Trades] = {}
        self._closed: dict[tuple[str, str], pd.DataFrame] = {}
        self._connections: list[_Connection] = []
        self._held: list[tuple[float, str, dict[str, Any]]] = []
        self._lock = threading.Lock()
        self.subscriptions = 0
        self._stream = serve(
            self._serve_connection, "127.0.0.1", 0, process_request=self._admit, compression=None, close_timeout=0.2
        )

    @property
    def stream_url(self) -> str:
        """The address of the stream, which ccxt recognises as the one of spot markets."""
        return f"ws://127.0.0.1:{self._stream.socket.getsockname()[1]}/stream.binance.com/ws"

    def __enter__(self) -> LiveBinanceServer:
        super().__enter__()
        threading.Thread(target=self._stream.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *arguments: Any) -> None:
        self.disconnect()
        self._stream.shutdown()
        super().__exit__(*arguments)

    def answered_at(self) -> float:
        """Return the exchange's time."""
        return self.now

    def list_trades(self, base: str, quote: str, trades: Trades) -> None:
        """List a market with all its trades, those of the future included."""
        name = base + quote
        self.markets[name] = (base, quote)
        self._trades[name] = trades

    # -- REST ------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Answer:
        if request.path == TIME:
            return Answer({"serverTime": round(self.now * 1000)})
        return super()._answer(request)

    def candles(self, market: str, interval: str) -> pd.DataFrame:
        """Return the candles that a market has now; the last one is open."""
        seconds, closed = INTERVALS[interval], self._all_closed(market, interval)
        current = int(self.now // seconds) * seconds
        known = closed[: closed.index.searchsorted(pd.Timestamp(current, unit="s", tz="UTC"))]
        numbers = self._trades[market].candle(current * 1000, int(self.now * 1000))
        now = pd.DataFrame([numbers], pd.to_datetime([current], unit="s", utc=True), COLUMNS)
        shown = pd.concat([known, now])
        return shown[shown["volume"] > 0] if self.omits_empty else shown

    def _all_closed(self, market: str, interval: str) -> pd.DataFrame:
        """Return all candles, those of the future included, as they are when they have closed."""
        if (market, interval) not in self._closed:
            trades, seconds = self._trades[market], INTERVALS[interval]
            first, last = (int(trades.times[place]) // 1000 // seconds * seconds for place in (0, -1))
            starts = range(first, last + seconds, seconds)
            rows = [trades.candle(start * 1000, (start + seconds) * 1000) for start in starts]
            index = pd.to_datetime(list(starts), unit="s", utc=True)
            self._closed[market, interval] = pd.DataFrame(rows, index, COLUMNS)
        return self._closed[market, interval]

    def correct(self, market: str, start: int, **numbers: float) -> None:
        """Change a candle of minutes after it has closed, in REST's answers and by a late event."""
        closed = self._all_closed(market, "1m")
        for name, value in numbers.items():
            closed.loc[pd.Timestamp(start, unit="s", tz="UTC"), name] = value
        self._send(_stream(market, "1m"), _event(market, "1m", start, closed_numbers(closed, start), self.now, True))

    # -- the stream ------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass, and send what happened meanwhile."""
        before, self.now = self.now, self.now + seconds
        for connection in list(self._connections):
            if self.now - connection.opened >= DAY:
                connection.socket.close(1001)
        for stream in dict.fromkeys(name for connection in list(self._connections) for name in connection.streams):
            found = _KLINE.fullmatch(stream)
            if found and found["market"].upper() in self.markets and found["interval"] in INTERVALS:
                for event in self._events(found["market"].upper(), found["interval"], before):
                    self._pass_on(stream, event)
        self._release()

    def _events(self, market: str, interval: str, before: float) -> Iterator[dict[str, Any]]:
        """Yield what a market's stream sends about the time since `before`."""
        seconds, trades = INTERVALS[interval], self._trades[market]
        first = int(before // seconds) * seconds
        events: list[tuple[bool, dict[str, Any]]] = []
        for start in range(first, int(self.now) + 1, seconds):
            end = min(start + seconds, self.now)
            closed = end == start + seconds
            numbers = trades.candle(start * 1000, round(end * 1000))
            since = trades.candle(round(max(start, before) * 1000), round(end * 1000))
            if (end > start and (numbers[4] > 0 if closed else since[4] > 0)) or (closed and self.announces_empty):
                events.append((closed, _event(market, interval, start, numbers, self.now, closed)))
        faults = self.faults_of_stream
        if faults.swaps and len(events) > 1 and events[0][0]:
            events[0], events[1] = events[1], events[0]
        for closed, event in events:
            yield event
            if faults.duplicates:
                yield event
            if faults.stale and closed:
                start = event["k"]["t"]
                partial = trades.candle(start, start + seconds * 500)
                if partial[4] > 0:
                    yield _event(market, interval, start // 1000, partial, self.now, False)

    def _pass_on(self, stream: str, event: dict[str, Any]) -> None:
        if self.faults_of_stream.held:
            self._held.append((self.now + self.faults_of_stream.held, stream, event))
        else:
            self._send(stream, event)

    def _release(self) -> None:
        due = [item for item in self._held if item[0] <= self.now]
        self._held = [item for item in self._held if item[0] > self.now]
        for _, stream, event in due:
            self._send(stream, event)

    def _send(self, stream: str, event: Mapping[str, Any]) -> None:
        if self.faults_of_stream.silent:
            return
        for connection in list(self._connections):
            if stream in connection.streams:
                body = {"stream": stream, "data": event} if connection.combined else event
                with suppress(ConnectionClosed):
                    connection.socket.send(json.dumps(body))

    @property
    def connected(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def streamed(self) -> int:
        """How many streams are subscribed to."""
        return sum(len(connection.streams) for connection in list(self._connections))

    def half_close(self) -> None:
        """Send the end of all connections, but continue to read from them."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.socket.socket.shutdown(socket.SHUT_WR)

    def disconnect(self, *, code: int | None = None) -> None:
        """End all connections: with a close frame if there is a code, otherwise without a word."""
        for connection in list(self._connections):
            if code is None:
                with suppress(OSError):  # it has just ended by itself
                    connection.socket.socket.shutdown(socket.SHUT_RDWR)
            else:
                connection.socket.close(code)

    def _admit(self, socket: ServerConnection, request: Any) -> Any:
        if self.faults_of_stream.refuses:
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "maintenance\n")
        path = request.path.partition("?")[0]
        if path != _COMBINED and not _RAW.fullmatch(path):
            return socket.respond(HTTPStatus.NOT_FOUND, "\n")
        return None

    def _serve_connection(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        connection = _Connection(socket, socket.request.path.startswith(_COMBINED + "?"), self.now)
        self._connections.append(connection)
        try:
            for message in socket:
                socket.send(json.dumps(self._reply(connection, message)))
        except ConnectionClosed:
            pass
        finally:
            self._connections.remove(connection)

    def _reply(self, connection: _Connection, message: str | bytes) -> dict[str, Any]:
        try:
            said = json.loads(message)
        except ValueError as error:
            return {"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}
        method, names, number = said.get("method"), said.get("params", []), said.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(connection.streams), "id": number}
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            msg = f"Invalid request: unknown variant {method!r}, expected one of SUBSCRIBE, UNSUBSCRIBE, …"
            return {"error": {"code": 2, "msg": msg}, "id": number}
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return {"error": {"code": 2, "msg": "Invalid request: params must be a list of strings"}, "id": number}
        if self.faults_of_stream.rejects:
            return {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": number}
        for name in names:
            if method == "SUBSCRIBE":
                connection.streams[name] = None
            else:
                connection.streams.pop(name, None)
        self.subscriptions += method == "SUBSCRIBE"
        return {"result": None, "id": number}


def closed_numbers(closed: pd.DataFrame, start: int) -> list[float]:
    """Return the numbers of one candle of a frame."""
    return list(closed.loc[pd.Timestamp(start, unit="s", tz="UTC"), COLUMNS].astype(float))


def _stream(market: str, interval: str) -> str:
    return f"{market.lower()}@kline_{interval}"


def _event(market: str, interval: str, start: int, numbers: list[float], now: float, closed: bool) -> dict[str, Any]:
    first, high, low, last, volume = map(repr, numbers)
    kline = {"t": start * 1000, "T": (start + INTERVALS[interval]) * 1000 - 1, "s": market, "i": interval}
    kline |= {"o": first, "c": last, "h": high, "l": low, "v": volume, "x": closed}
    kline |= {"f": 1, "L": 1, "n": 1, "q": "0", "V": "0", "Q": "0", "B": "0"}
    return {"e": "kline", "E": round(now * 1000), "s": market, "k": kline}


@contextmanager
def stream_redirected_to(server: LiveBinanceServer) -> Iterator[None]:
    """Make every websocket client of ccxt's Binance connect to a server, and neither pause nor linger."""
    describe = ccxt.pro.binance.describe

    def described(self: Any) -> Any:
        usual = describe(self)
        address = {"spot": server.stream_url}
        changed = {"urls": {"api": {"ws": address}}, "rateLimit": 0.001, "timeout_on_exit": 0, "verify": False}
        return self.deep_extend(usual, changed)

    with mock.patch.object(ccxt.pro.binance, "describe", described):
        yield


__all__ = ["KLINES", "TIME", "LiveBinanceServer", "StreamFaults", "Trades", "random_trades", "stream_redirected_to"]
