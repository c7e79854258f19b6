"""Runs the supervisor on the loopback server, in a thread, while a test moves the market."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pandas as pd

from live.servers.alpaca_server import AlpacaStreamServer
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.live.streams import alpaca_stream
from lumibot_duckdb.live.streams.alpaca_stream import AlpacaKey, AlpacaStream, open_market
from lumibot_duckdb.live.streams.pace import Pace
from lumibot_duckdb.live.streams.supervisor import Supervisor
from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from sources.alpaca.loopback_client import clients_redirected_to
from sources.alpaca.server import KEY, SECRET

PACE = Pace(poll=0.01, first_pause=0.01, longest_pause=0.05, final_read=20, final_write=20, refused_connections=10**6)
PING_SECONDS = 30.0
"""On a busy machine, an answer to a ping may take long."""


@contextmanager
def redirected_to(server: AlpacaStreamServer) -> Iterator[None]:
    """Point Alpaca's clients at a server."""
    addresses = SimpleNamespace(MARKET_DATA_STREAM=SimpleNamespace(value=server.url))
    with clients_redirected_to(server.rest.url), mock.patch.object(alpaca_stream, "BaseURL", addresses):
        yield


class Recording:
    """A supervisor in a thread."""

    def __init__(
        self,
        storage: DuckDBDataStorage,
        symbols: Sequence[str],
        feed: str = "iex",
        key: AlpacaKey | None = None,
        ping_seconds: float = PING_SECONDS,
        **pace: Any,
    ) -> None:
        self.storage = storage
        self.recorder = Recorder(lambda: storage, pause_seconds=0.5)
        key = key or AlpacaKey(KEY, SECRET)
        market = open_market(key, symbols, storage, feed=feed)
        stream = AlpacaStream(key, symbols, feed, ping_seconds=ping_seconds)
        self.supervisor = Supervisor(replace(market, stream=stream), storage, self.recorder, replace(PACE, **pace))
        self.error: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self.supervisor.run(self._stop))
        except BaseException as error:
            self.error = error
        finally:
            self._loop.close()

    def start(self) -> Recording:
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self.join()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self.recorder.close(10)

    def received(self, count: int) -> None:
        """Wait until so many bars or corrections have arrived."""
        totals = self.supervisor.totals
        wait_for(lambda: totals.streamed + totals.corrections >= count, f"{count} bars of {totals}")


def wait_for(condition: Callable[[], Any], what: str = "") -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


@contextmanager
def recording(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, symbols: Sequence[str], feed: str = "iex", **settings: Any
) -> Iterator[Recording]:
    """Record until the end of the block, beginning when the stream is subscribed."""
    with redirected_to(server):
        made = Recording(storage, symbols, feed, **settings).start()
        try:
            wait_for(lambda: made.supervisor.totals.connections or made.error, "no subscription")
            yield made
        finally:
            made.stop()


def stored(storage: DuckDBDataStorage, key: SeriesKey) -> pd.DataFrame:
    """The bars of a series by epoch second, with Alpaca's short names."""
    try:
        bars = storage.read_pandas(storage.pin(key))
    except SeriesNotFoundError:
        return pd.DataFrame(columns=list("ohlcv"))
    names = dict(
        zip(
            ("open", "high", "low", "close", "volume", "trade_count", "vwap"),
            ("o", "h", "l", "c", "v", "n", "vw"),
            strict=True,
        )
    )
    return bars.rename(columns=names).set_axis(bars.index.as_unit("s").asi8)


def rest(server: AlpacaStreamServer, symbol: str, feed: str) -> pd.DataFrame:
    """The bars that the REST API has."""
    bars = server.rest.feeds[feed][symbol]
    return pd.DataFrame.from_dict(bars, orient="index").sort_index().astype("float64")
