"""Keeps a stream connected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.streams.bar_stream import BarStream, StreamLostError, TooManyConnectionsError
from lumibot_duckdb.live.streams.pace import Pace, pause
from lumibot_duckdb.sources.shared.errors import ProviderError

logger = logging.getLogger(__name__)

_LOGGED_ATTEMPTS, _LOGGED_EVERY = 3, 20


def is_logged(failures: int) -> bool:
    """Return whether the last of so many failures in a row is logged. An outage of a day is about a hundred lines."""
    return failures <= _LOGGED_ATTEMPTS or failures % _LOGGED_EVERY == 0


class ConnectionLoop:
    """Connects a stream again whenever it is lost, after pauses that grow while no bars arrive.

    Parameters:
        stream: the stream.
        name: what logs call it.
        pace: the pauses.
        on_bars, on_connected: as in `BarStream`.
        on_lost: called when a connection that was made is lost.
    """

    def __init__(
        self,
        stream: BarStream,
        name: str,
        pace: Pace,
        *,
        on_bars: Callable[[LiveBars], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.connected = False
        self._stream = stream
        self._name = name
        self._pace = pace
        self._on_bars = on_bars
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._has_bars = False
        self._running: asyncio.Future[None] | None = None
        self._given_up = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until `stop` is set. Raises `ProviderError` if the provider will always refuse."""
        failures = refused = 0
        while not stop.is_set():
            self._has_bars = False
            lost: StreamLostError
            try:
                self._running = asyncio.ensure_future(self._stream.run(self._take, self._note_connection))
                await self._running
                lost = StreamLostError("the stream ended")
            except StreamLostError as error:
                lost = error
            except asyncio.CancelledError:
                if not self._given_up:
                    raise
                lost = StreamLostError(self._given_up)
            self._given_up = ""
            if self.connected:
                self.connected = False
                refused = 0
                self._on_lost()
            if stop.is_set():
                return
            refused += isinstance(lost, TooManyConnectionsError)
            if refused >= self._pace.refused_connections:
                raise ProviderError(f"{lost}.")
            failures = 1 if self._has_bars else failures + 1
            seconds = self._pace.pause_after(failures)
            if is_logged(failures):
                reason = str(lost).rstrip(".")
                logger.warning("not connected to %s: %s; attempt %d in %.1f s", self._name, reason, failures, seconds)
            await pause(seconds, stop)

    def give_up(self, reason: str) -> None:
        """End the present connection, and make another one."""
        if self._running is not None and not self._running.done():
            self._given_up = reason
            self._running.cancel()

    def _note_connection(self) -> None:
        self.connected = True
        logger.info("connected to %s", self._name)
        self._on_connected()

    def _take(self, bars: LiveBars) -> None:
        self._has_bars = True
        self._on_bars(bars)
