"""Records the stream of a market: hands its bars to the recorder, and reads them again by REST once they settle."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from lumibot_duckdb import clock
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.live.streams.arrival_lag import ArrivalLag
from lumibot_duckdb.live.streams.connection_loop import ConnectionLoop, is_logged
from lumibot_duckdb.live.streams.daemon_call import in_daemon_thread
from lumibot_duckdb.live.streams.held_corrections import HeldCorrections
from lumibot_duckdb.live.streams.pace import Pace, pause
from lumibot_duckdb.live.streams.recorded_market import RecordedMarket
from lumibot_duckdb.live.streams.rest_upkeep import RestUpkeep
from lumibot_duckdb.live.streams.totals import Totals
from lumibot_duckdb.sources.shared.errors import ProviderUnavailableError
from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, TimeRange
from lumibot_duckdb.storage.times import bar_starts

logger = logging.getLogger(__name__)

_HOUR = 3600
_MINUTE = 60
_MUTE_SECONDS = 30 * 60


class Supervisor:
    """Records a market until it is stopped.

    - Bars of the stream are handed to the recorder at once. Corrections are held until those of a day are written
      together, because each change of a stored bar begins a new version of its series.
    - What the stream missed while it was disconnected is read by REST after it is connected again.
    - Settled bars are read by REST for the series of backtests every few minutes, after each reconnection, and at the
      end.
    - After midnight in New York, and at the end, the series of the stream are compared with REST, and made equal.

    Parameters:
        market: what is recorded.
        storage: the store, to see what it has.
        recorder: writes the bars. The supervisor does not close it.
        pace: how often what is done.
    """

    def __init__(
        self, market: RecordedMarket, storage: DataStorageInterface, recorder: Recorder, pace: Pace | None = None
    ) -> None:
        self.totals = Totals()
        self._market = market
        self._recorder = recorder
        self._pace = pace or Pace()
        self._stopping = threading.Event()
        self._corrections = HeldCorrections()
        self._lag = ArrivalLag(market.name)
        self._upkeep = RestUpkeep(
            market,
            storage,
            recorder,
            self._corrections,
            self._lag,
            self.totals,
            interval=self._pace.settled_reads,
            stopping=self._stopping,
        )
        self._connections = ConnectionLoop(
            market.stream,
            market.name,
            self._pace,
            on_bars=self._take,
            on_connected=self._note_connection,
            on_lost=self._note_loss,
        )
        self._connected_at: EpochSeconds = 0
        self._missing_since: EpochSeconds | None = None

    @property
    def connected(self) -> bool:
        """Whether the stream is connected."""
        return self._connections.connected

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set, then read what has settled.

        Raises:
            ProviderError: The provider refuses the key, an asset or the subscription.
            StoreBusyError: Another program holds the store at the start.
        """
        if not await self._begin(stop):
            return
        connecting = asyncio.create_task(self._connections.run(stop))
        reading = asyncio.create_task(self._keep_reading(stop))
        try:
            await _first_of(connecting, reading, stop.wait())
        finally:
            stop.set()
            self._stopping.set()
            await self._market.stream.close()
            await asyncio.wait([connecting])
            self._recorder.flush(self._pace.final_write)
            await self._end(reading)
        for each in (connecting, reading):
            if each.done():
                each.result()

    # -- beginning and end -----------------------------------------------------------------------------------

    async def _begin(self, stop: asyncio.Event) -> bool:
        """Check the key and the assets as soon as the provider can be reached; return False if stopped before."""
        failures = 0
        while not stop.is_set():
            checking = in_daemon_thread(self._market.check)
            await _first_of(checking, stop.wait())
            if stop.is_set():
                break
            try:
                checking.result()
                self._missing_since = await in_daemon_thread(self._upkeep.begin)
                return True
            except ProviderUnavailableError as error:
                failures += 1
                if is_logged(failures):
                    logger.warning("%s", error)
                await pause(self._pace.pause_after(failures), stop)
        return False

    async def _end(self, reading: asyncio.Task[None]) -> None:
        """Read what has settled, for a limited time."""
        try:
            await asyncio.wait_for(asyncio.shield(reading), self._pace.final_read)
            if self.totals.connections:
                self._stopping.clear()
                await asyncio.wait_for(self._read(self._upkeep.finish), self._pace.final_read)
        except asyncio.TimeoutError:
            logger.warning("the last reading was ended after %.0f s", self._pace.final_read)
        finally:
            self._stopping.set()
            for each in self._corrections.take():  # of bars that have not settled, or could not be compared
                self._recorder.record(each)

    # -- the stream ------------------------------------------------------------------------------------------

    def _note_connection(self) -> None:
        now = clock.epoch_now()
        self.totals.connections += 1
        self._connected_at = now - now % _MINUTE
        if self._missing_since is not None:
            self._upkeep.missed(TimeRange(min(self._missing_since, now), now))
            self._missing_since = None

    def _note_loss(self) -> None:
        newest = self.totals.newest
        # Other assets may lack the minute of the newest bar.
        self._missing_since = self._connected_at if newest is None else newest

    def _take(self, bars: LiveBars) -> None:
        starts = bar_starts(bars.bars)
        self._lag.add(max(piece.end for piece in bars.covered))
        self.totals.newest = max(int(starts.max()), self.totals.newest or 0)
        if self._corrections.hold(bars):
            self.totals.corrections += len(starts)
        else:
            self.totals.streamed += len(starts)
            self._recorder.record(bars)

    # -- REST ------------------------------------------------------------------------------------------------

    async def _keep_reading(self, stop: asyncio.Event) -> None:
        hour, before = clock.epoch_now() // _HOUR, self.totals.copy()
        while not stop.is_set():
            done = await self._read(self._upkeep.work)
            self._give_up_if_mute()
            if clock.epoch_now() // _HOUR != hour:
                logger.info("in the last hour: %s", self.totals.since(before, self._recorder.counts))
                hour, before = clock.epoch_now() // _HOUR, self.totals.copy()
            await pause(self._pace.poll if done else self._pace.longest_pause, stop)

    def _give_up_if_mute(self) -> None:
        """Connect again if REST has much newer bars than the stream, of the time of this connection."""
        settled, streamed = self._upkeep.newest_settled, self.totals.newest or 0
        if self.connected and settled is not None and settled > max(streamed, self._connected_at) + _MUTE_SECONDS:
            self._connections.give_up("no bars arrive, but REST has some")

    @staticmethod
    async def _read(work: Callable[[], None]) -> bool:
        try:
            await in_daemon_thread(work)
        except Exception:  # the stream is recorded all the same
            logger.exception("reading by REST failed, and is tried again")
            return False
        return True


async def _first_of(*awaitables: Awaitable[Any]) -> None:
    """Wait until one of several has ended. Those that were started here are cancelled."""
    futures = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future, given in zip(futures, awaitables, strict=True):
            if future is not given:
                future.cancel()
