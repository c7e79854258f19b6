"""Runs a stream of ccxt against the loopback Binance, whose clock passes as fast as the test likes."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from unittest import mock

import ccxt
import pandas as pd

from live.servers.binance_server import COLUMNS, LiveBinanceServer, Trades, stream_redirected_to
from lumibot_duckdb import clock
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.streams.bar_stream import StreamLostError
from lumibot_duckdb.live.streams.ccxt_stream import CandlePace, CcxtStream, Market
from lumibot_duckdb.sources.ccxt import client
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.storage.api import TimeRange
from sources.ccxt.exchanges import exchange_redirected_to

START = 1_700_000_040  # a whole minute
PACE = CandlePace(late=0.02, settle=10.0, tick=0.01, gather=0.005)
QUICK = RetryPolicy(limit_pause=0.02, fault_pause=0.005, longest_pause=0.05, attempts=2)


@dataclass
class MachineClock:
    """This computer's clock: that of the exchange, and so many seconds more."""

    server: LiveBinanceServer
    ahead: float = 0.0

    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.server.now + self.ahead, dt.timezone.utc)


@contextmanager
def exchange(trades: Mapping[str, Trades], **settings: Any) -> Iterator[tuple[LiveBinanceServer, MachineClock]]:
    """Run a Binance with these markets against USDT, half a minute after `START`; it is all that ccxt can reach."""
    server = LiveBinanceServer(now=START + 30, **settings)
    for coin, of_coin in trades.items():
        server.list_trades(coin, "USDT", of_coin)
    machine = MachineClock(server)
    with (
        server,
        exchange_redirected_to(server.url),
        stream_redirected_to(server),
        mock.patch.object(clock, "utc_now", machine.now),
    ):
        client.PROVIDERS["binance"] = client.CcxtProvider(ccxt.binance(), retry_policy=QUICK)
        yield server, machine


@dataclass
class Watching:
    """Runs a stream, again after each lost connection, while it is entered. Keeps what it sent."""

    stream: CcxtStream
    received: list[LiveBars] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    connections: int = 0

    async def __aenter__(self) -> Watching:
        self._task = asyncio.ensure_future(self._run())
        return self

    async def _run(self) -> None:
        while True:
            try:
                return await self.stream.run(self.received.append, self._on_connected)
            except StreamLostError as error:
                self.lost.append(str(error))
                await asyncio.sleep(0.01)

    def _on_connected(self) -> None:
        self.connections += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stream.close()
        await asyncio.wait_for(self._task, 30)

    def of(self, market: Market) -> list[LiveBars]:
        """Return what was sent of a market, in order."""
        return [bars for bars in self.received if bars.key == market.live]

    def latest(self, market: Market) -> int:
        """Return the start of a market's last candle that was sent, 0 if there is none."""
        return max((starts(bars.bars)[-1] for bars in self.of(market)), default=0)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait, in real time, until something is the case."""
    async with _Deadline(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def pass_time(server: LiveBinanceServer, seconds: float, step: float = 10.0, pause: float = 0.004) -> None:
    """Let time pass at the exchange, in steps, between which the stream can work."""
    for _ in range(round(seconds / step)):
        server.advance(step)
        await asyncio.sleep(pause)


class _Deadline:
    """Fails a test that waits for too long. (`asyncio.timeout` is not in Python 3.10.)"""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handle = asyncio.get_running_loop().call_later(self._seconds, task.cancel, "the wait was too long")

    async def __aexit__(self, *arguments: Any) -> None:
        self._handle.cancel()


def starts(bars: pd.DataFrame) -> list[int]:
    """Return the starts of bars, in epoch seconds."""
    found: list[int] = pd.DatetimeIndex(bars.index).as_unit("s").asi8.tolist()
    return found


def truth(server: LiveBinanceServer, market: Market, within: TimeRange) -> pd.DataFrame:
    """Return the candles that the exchange has in a range."""
    bars = server.candles(market.symbol.replace("/", ""), "1m")
    return between(bars, within)


def between(bars: pd.DataFrame, within: TimeRange) -> pd.DataFrame:
    """Return the bars that start in a range."""
    first, stop = (pd.Timestamp(time, unit="s", tz="UTC") for time in (within.start, within.end))
    found: pd.DataFrame = bars.loc[(bars.index >= first) & (bars.index < stop), COLUMNS]
    return found


def assert_same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Compare candles and their starts."""
    assert starts(left) == starts(right)
    assert left.to_numpy().tolist() == right.to_numpy().tolist()


def merged(received: list[LiveBars]) -> pd.DataFrame:
    """Return what a store has after these bars, and check them: no bar twice, none open, all of them covered."""
    rows: dict[pd.Timestamp, Any] = {}
    for bars in received:
        (within,) = bars.covered
        assert all(within.start <= start < within.end for start in starts(bars.bars))
        assert within.end <= bars.asked_at.timestamp()
        assert bars.replace or not set(bars.bars.index) & set(rows)
        rows.update(zip(bars.bars.index, bars.bars.to_numpy().tolist(), strict=True))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
    return frame.sort_index()
