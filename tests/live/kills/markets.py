"""Two markets around the clock, whose servers misbehave, and what their REST APIs have of closed bars."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import pandas as pd

from live.kills.market_time import MarketTime
from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock
from live.servers.binance_server import COLUMNS, KLINES, LiveBinanceServer, StreamFaults, random_trades
from lumibot_duckdb.sources.ccxt.markets import series_of
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from sources.alpaca.server import KEY, SECRET
from sources.ccxt.binance_server import too_many
from wire.loopback import Answer, Fault

COINS = {"BTC": 20.0, "ETH": 0.7}
"""How many trades a minute has on average."""
_START = 1_700_000_040  # a whole minute
_HOUR = 3_600
_SETTLING = 6 * _HOUR
_BROKEN = Answer({"message": "internal error"}, 500)


class Market(Protocol):
    """A market with two coins. The second one is not traded in each minute."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    keys: tuple[SeriesKey, ...]
    rest_url: str
    stream_url: str
    pause: float
    """Seconds of real time for each step."""

    @property
    def now(self) -> float: ...

    @property
    def is_connected(self) -> bool:
        """Whether a recorder is subscribed."""

    def step(self) -> None:
        """Let some time pass, and send what happened."""

    def misbehave(self) -> None:
        """Do something that happens to servers and connections."""

    def recover(self) -> None:
        """Do nothing wrong any more."""

    def settle(self) -> None:
        """Let so much time pass without trades that all bars so far settle.

        On a busy machine, the recorder is behind the market, and takes bars for settled as much later.
        """

    def bars(self, key: SeriesKey) -> pd.DataFrame:
        """Return all closed bars of REST, by epoch seconds."""

    def corrected(self, key: SeriesKey) -> set[int]:
        """Return the starts of bars that were changed after they had been sent."""


class AlpacaPairs:
    """Alpaca's coins. A step is a minute."""

    pause = 0.03

    def __init__(self, server: AlpacaStreamServer, seed: int) -> None:
        self._server = server
        self._dice = random.Random(seed)
        self._corrected: dict[str, set[int]] = {coin: set() for coin in COINS}
        self._price = 100.0
        self.words = ("record", "--symbols", ",".join(f"{coin}/USD" for coin in COINS))
        self.environment = {"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET}
        self.keys = tuple(
            SeriesKey(AssetKey(coin, "crypto", quote="USD"), source, "minute")
            for source in ("alpaca_live", "alpaca")
            for coin in COINS
        )
        self.rest_url, self.stream_url = server.rest.url, server.url

    @property
    def now(self) -> float:
        return self._server.time.now

    @property
    def is_connected(self) -> bool:
        return self._server.subscribed > 0

    def step(self) -> None:
        server = self._server
        server.time.now += 60
        start = server.time.now - 60
        self._price += 0.125
        for coin, trades in COINS.items():
            if self._dice.random() < trades:
                server.trade(f"{coin}/USD", self._price, feed="us", at=start)
                server.publish(f"{coin}/USD", start, feed="us")
            if self._dice.random() < 0.02 and start in server.rest.feeds["us"].get(f"{coin}/USD", {}):
                self._corrected[coin].add(start)
                server.trade(f"{coin}/USD", 50.0, feed="us", at=start, volume=777)
                server.publish(f"{coin}/USD", start, feed="us", channel="updatedBars")

    def misbehave(self) -> None:
        server = self._server
        self._dice.choice(
            [
                server.disconnect,
                server.half_close,
                server.fall_silent,
                lambda: server.fail(407, "slow client"),
                lambda: server.rest.faults.append(Fault("bars", times=2, answer=_BROKEN)),
                lambda: server.rest.faults.append(Fault("bars", drop=True)),
                self._refuse,
            ]
        )()

    def _refuse(self) -> None:
        self._server.refuse_connections = True
        self._server.disconnect()

    def recover(self) -> None:
        self._server.refuse_connections = False
        self._server.rest.faults.clear()

    def settle(self) -> None:
        self._server.time.now += _SETTLING

    def bars(self, key: SeriesKey) -> pd.DataFrame:
        found = self._server.rest.feeds["us"].get(f"{key.asset.symbol}/USD", {})
        bars = pd.DataFrame.from_dict(found, orient="index").sort_index().astype("float64")
        return bars.rename(columns={"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"})[COLUMNS]

    def corrected(self, key: SeriesKey) -> set[int]:
        return self._corrected[key.asset.symbol]


class BinancePairs:
    """Binance's coins. A step is ten seconds."""

    pause = 0.01

    def __init__(self, server: LiveBinanceServer, seed: int) -> None:
        self._server = server
        self._dice = random.Random(seed)
        symbols = [f"{coin}/USDT" for coin in COINS]
        self.words = ("record", "--provider", "ccxt", "--exchange", "binance", "--symbols", ",".join(symbols))
        self.environment: Mapping[str, str] = {}
        settled = [series_of(symbol, "binance", "minute") for symbol in symbols]
        live = [SeriesKey(key.asset, "ccxt_live", "minute") for key in settled]
        self.keys = (*live, *settled)
        self.rest_url, self.stream_url = server.url, server.stream_url

    @property
    def now(self) -> float:
        return self._server.now

    @property
    def is_connected(self) -> bool:
        return self._server.streamed > 0

    def step(self) -> None:
        self._server.advance(10)

    def misbehave(self) -> None:
        server, faults = self._server, self._server.faults_of_stream
        acts: list[Callable[[], Any]] = [
            server.disconnect,
            server.half_close,
            lambda: server.disconnect(code=1001),
            lambda: setattr(faults, "silent", True),
            lambda: setattr(faults, "swaps", True),
            lambda: setattr(faults, "duplicates", True),
            lambda: server.faults.append(Fault(KLINES, times=2, answer=Answer(too_many(0).body, 500))),
            lambda: server.faults.append(Fault(KLINES, drop=True)),
            self._refuse,
        ]
        self._dice.choice(acts)()

    def _refuse(self) -> None:
        self._server.faults_of_stream.refuses = True
        self._server.disconnect()

    def recover(self) -> None:
        self._server.faults_of_stream = StreamFaults()
        self._server.faults.clear()

    def settle(self) -> None:
        self._server.now += _SETTLING

    def bars(self, key: SeriesKey) -> pd.DataFrame:
        shown = self._server.candles(f"{key.asset.symbol}USDT", "1m").iloc[:-1]  # the last one is open
        return shown.set_axis(pd.DatetimeIndex(shown.index).as_unit("s").asi8)

    def corrected(self, key: SeriesKey) -> set[int]:
        return set()


class _SharedClock(SimulatedClock):
    """A clock that other processes see."""

    def __init__(self, start: str, shared: MarketTime) -> None:
        self._shared = shared
        super().__init__(start)

    @property  # type: ignore[override]
    def now(self) -> int:
        return self._now

    @now.setter
    def now(self, seconds: int) -> None:
        self._now = seconds
        self._shared.set(seconds)


class _SharedBinance(LiveBinanceServer):
    """A server whose time other processes see."""

    def __init__(self, shared: MarketTime, start: float) -> None:
        self._shared = shared
        super().__init__(now=start)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "now":
            self._shared.set(value)


@contextmanager
def alpaca(shared: MarketTime, seed: int) -> Iterator[Market]:
    time = _SharedClock("2024-07-03 15:25", shared)
    with AlpacaStreamServer(time, [f"{coin}/USD" for coin in COINS]) as server:
        yield AlpacaPairs(server, seed)


@contextmanager
def binance(shared: MarketTime, seed: int, hours: int = 48) -> Iterator[Market]:
    server = _SharedBinance(shared, _START + 30)
    for place, (coin, trades) in enumerate(COINS.items()):
        made = random_trades(_START - _HOUR, _START + hours * _HOUR, trades, seed + place)
        server.list_trades(coin, "USDT", made)
    with server:
        yield BinancePairs(server, seed)
