"""Keeps a stream connected, hands its bars to the recorder, and reads them again by REST once they are settled."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from lumibot_duckdb import clock
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.settling import settle_seconds
from lumibot_duckdb.live.streams.bar_recorder import BarRecorder
from lumibot_duckdb.live.streams.bar_stream import StreamLostError, TooManyConnectionsError
from lumibot_duckdb.live.streams.daemon_call import in_daemon_thread
from lumibot_duckdb.live.streams.held_corrections import HeldCorrections
from lumibot_duckdb.live.streams.recorded_market import RecordedMarket
from lumibot_duckdb.live.streams.rest_reads import Reading, RestReads
from lumibot_duckdb.live.streams.totals import Totals
from lumibot_duckdb.sources.retry_policy import exponential_pause
from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError
from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, bar_starts, date_of, midnight

logger = logging.getLogger(__name__)

_HOUR = 3600
_USUAL_LAG = 120
"""Seconds between the end of a bar and its arrival that are no reason for a warning."""
_PUBLISHED_AFTER = 30
"""Seconds after which the REST API has a bar that has just closed."""
_LAGS = 20
_RESUMED_DAYS = 7


@dataclass(frozen=True)
class Pace:
    """How often a recorder does what, in seconds.

    Attributes:
        settled_reads: The time between two readings of settled bars.
        poll: The time between two looks at the clock.
        first_pause, longest_pause: Pauses between attempts to connect, which double from the first to the longest.
        final_read: How long the last reading may take.
        final_write: How long writing what is left may take.
        refused_connections: How often in a row "too many connections" is believed to pass.
    """

    settled_reads: float = 15 * 60
    poll: float = 1.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    final_read: float = 60.0
    final_write: float = 30.0
    refused_connections: int = 6


class Supervisor:
    """Records a market until it is stopped.

    - Bars of the stream are handed to the recorder at once. Corrections are held until `reconcile` writes all of a day
      together, because each change of a stored bar begins a new version of its series.
    - What the stream missed while it was disconnected is read by REST after it is connected again.
    - Settled bars are read by REST for the series of backtests every few minutes, after each reconnection, and at the
      end.
    - After midnight in New York, and at the end, the stream's own series are compared with REST, and made equal.

    Parameters:
        market: what is recorded.
        storage: the store, to see what it has.
        recorder: writes the bars. The supervisor does not close it.
        pace: how often what is done.
    """

    def __init__(
        self, market: RecordedMarket, storage: DataStorageInterface, recorder: BarRecorder, pace: Pace | None = None
    ) -> None:
        self.totals = Totals()
        self.connected = False
        self._market = market
        self._storage = storage
        self._recorder = recorder
        self._pace = pace or Pace()
        self._stopping = threading.Event()
        self._reads = RestReads(storage, recorder, self._stopping)
        self._live = [each.live for each in market.series]
        self._settled = [each.settled for each in market.series]
        self._corrections = HeldCorrections()
        self._lags: deque[int] = deque(maxlen=_LAGS)
        self._warned_of_lag = False
        self._heard = False  # whether the current connection has brought bars
        self._since: EpochSeconds = 0
        self._reconciled: EpochSeconds = 0
        self._missed_since: EpochSeconds | None = None
        self._gaps: list[TimeRange] = []
        self._read_now = False
        self._last_problem = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set, then read what has settled.

        Raises:
            ProviderError: The provider refuses the key, an asset or the subscription.
        """
        if not await self._begin(stop):
            return
        connecting = asyncio.create_task(self._stay_connected(stop))
        reading = asyncio.create_task(self._keep_reading(stop))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({connecting, reading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            await self._market.stream.close()
            ended = await asyncio.gather(connecting, return_exceptions=True)
            self._recorder.flush(self._pace.final_write)
            await self._end(reading)
        for each in (*ended, *await asyncio.gather(reading, return_exceptions=True)):
            if isinstance(each, BaseException) and not isinstance(each, asyncio.CancelledError):
                raise each

    # -- beginning and end -----------------------------------------------------------------------------------

    async def _begin(self, stop: asyncio.Event) -> bool:
        """Check the key and the assets as soon as the provider can be reached; return False if stopped before."""
        failures = 0
        while not stop.is_set():
            try:
                checking = in_daemon_thread(self._market.check)
                if await _ended_first(checking, stop):
                    checking.result()
                    break
            except ProviderUnavailableError as error:
                failures += 1
                logger.warning("%s; trying again", error)
                await self._pause(stop, failures)
        if not stop.is_set():
            self._since = self._reconciled = await in_daemon_thread(self._resumed_since)
        return not stop.is_set()

    def _resumed_since(self) -> EpochSeconds:
        """Return from when on bars are read by REST: the day of the last recorded bar, if that is recent, else now."""
        now = clock.epoch_now()
        last = max((time for each in self._live if (time := self._last_bar(each.key)) is not None), default=None)
        if last is None or last < now - _RESUMED_DAYS * SECONDS_PER_DAY:
            return now - now % 60
        self._missed_since = last
        return midnight(date_of(last, NEW_YORK), NEW_YORK)

    def _last_bar(self, key: object) -> EpochSeconds | None:
        try:
            return self._storage.facts(self._storage.pin(key)).last
        except SeriesNotFoundError:
            return None

    async def _end(self, reading: asyncio.Future[None]) -> None:
        """Read what has settled, for a limited time."""
        self._stopping.set()
        try:
            await asyncio.wait_for(asyncio.shield(reading), self._pace.final_read)
            self._stopping.clear()
            await asyncio.wait_for(in_daemon_thread(self._read_at_the_end), self._pace.final_read)
        except asyncio.TimeoutError:
            logger.warning("the last reading was ended after %.0f s", self._pace.final_read)
        except Exception as error:  # the cause ends the recording, and is raised by `run`
            logger.debug("no last reading: %s", error)
        finally:
            self._stopping.set()
            for each in self._corrections.take():
                self._recorder.record(each)

    def _read_at_the_end(self) -> None:
        if self.totals.connections:
            self._fill_gaps(everything=True)
            self._read_settled()
            self._reconcile(self._settled_until())

    # -- the stream ------------------------------------------------------------------------------------------

    async def _stay_connected(self, stop: asyncio.Event) -> None:
        failures = refused = 0
        while not stop.is_set():
            self._heard = False
            connections = self.totals.connections
            try:
                await self._market.stream.run(self._on_bars, self._on_connected)
                reason = "it ended"
            except TooManyConnectionsError as error:
                refused += 1
                if refused >= self._pace.refused_connections:
                    raise ProviderError(f"{error}.") from None
                reason = str(error)
            except StreamLostError as error:
                reason = str(error)
            finally:
                self.connected = False
            if stop.is_set():
                return
            if self.totals.connections > connections:
                refused = 0
                self._missed_since = self._begin_of_gap()
            failures = 1 if self._heard else failures + 1
            pause = self._pause_before(failures)
            logger.warning("disconnected from %s: %s; connecting again in %.1f s", self._market.name, reason, pause)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    def _begin_of_gap(self) -> EpochSeconds:
        """Return from when on bars may be missing: other assets may lack the minute of the newest bar."""
        newest = self.totals.newest
        return self._connected_at if newest is None else min(newest, self._connected_at)

    def _on_connected(self) -> None:
        now = clock.epoch_now()
        self.connected = True
        self.totals.connections += 1
        self._connected_at = now - now % 60
        logger.info("connected to %s", self._market.name)
        if self._missed_since is not None:
            self._gaps.append(TimeRange(min(self._missed_since, now), now))
            self._missed_since = None

    def _on_bars(self, bars: LiveBars) -> None:
        self._heard = True
        starts = bar_starts(bars.bars)
        newest = int(starts.max())
        end = max(piece.end for piece in bars.covered)
        self._lags.append(clock.epoch_now() - end)
        self._warn_of_lag()
        if self.totals.newest is None or newest > self.totals.newest:
            self.totals.newest = newest
        if self._corrections.hold(bars):
            self.totals.corrections += len(starts)
            return
        self.totals.streamed += len(starts)
        self._recorder.record(bars)

    def _warn_of_lag(self) -> None:
        lag = self._lag()
        if lag > _USUAL_LAG and not self._warned_of_lag and len(self._lags) == _LAGS:
            self._warned_of_lag = True
            logger.warning(
                "bars of %s arrive %d s after their end: if the feed is not a delayed one, the clock of this machine is "
                "ahead. Settled bars are read that much later",
                self._market.name,
                lag,
            )

    def _lag(self) -> int:
        """Return how late bars arrive, by this machine's clock."""
        return max(0, min(self._lags, default=0) - 60)

    # -- REST ------------------------------------------------------------------------------------------------

    async def _keep_reading(self, stop: asyncio.Event) -> None:
        due = 0.0 if self._missed_since is not None else clock.epoch_now() + self._pace.settled_reads
        hour, before = clock.epoch_now() // _HOUR, self.totals.copy()
        while not stop.is_set():
            now = clock.epoch_now()
            if self._gap_is_due(now):
                await in_daemon_thread(self._fill_gaps)
                self._read_now = True
            if self._read_now or not due - self._pace.settled_reads <= now < due:  # also if the clock was set back
                self._read_now = False
                due = now + self._pace.settled_reads
                await in_daemon_thread(self._read_settled)
                await in_daemon_thread(self._reconcile_days)
            if now // _HOUR != hour:
                logger.info("in the last hour: %s", self.totals.since(before, self._recorder.counts))
                hour, before = now // _HOUR, self.totals.copy()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), self._pace.poll)

    def _gap_is_due(self, now: EpochSeconds) -> bool:
        return any(gap.end + self._live[0].delay + _PUBLISHED_AFTER <= now for gap in self._gaps)

    def _fill_gaps(self, *, everything: bool = False) -> None:
        """Read what the stream has missed; what cannot be read is tried again."""
        now = clock.epoch_now()
        for gap in list(self._gaps):
            end = min(gap.end, now - self._live[0].delay)
            if gap.start >= end or (end < gap.end and not everything):
                continue
            reading = self._reads.read_again(self._live, TimeRange(gap.start, end))
            self._log_problem(reading)
            if not reading.failed:
                self._gaps.remove(gap)
                if reading.bars:
                    logger.info("read %d bars that were missed while disconnected", reading.bars)

    def _settled_until(self) -> EpochSeconds:
        """Return a time such that all bars that start before it are settled, and are not withheld any more."""
        delay = max(settle_seconds(), *(each.delay for each in (*self._settled, *self._live)))
        end = clock.epoch_now() - int(delay) - self._lag()
        length = self._live[0].length
        return end - end % length

    def _read_settled(self) -> None:
        until = self._settled_until()
        if until <= self._since:
            return
        reading = self._reads.read_uncovered(self._settled, TimeRange(self._since, until))
        self.totals.settled += reading.bars
        self.totals.settled_until = max(until, self.totals.settled_until or until)
        self._log_problem(reading)

    def _reconcile_days(self) -> None:
        """Reconcile the days that have ended in New York and have settled."""
        today = midnight(date_of(self._settled_until(), NEW_YORK), NEW_YORK)
        if today > self._reconciled:
            self._reconcile(today)

    def _reconcile(self, until: EpochSeconds) -> None:
        if until <= self._reconciled:
            return
        within = TimeRange(self._reconciled, until)
        reading, found = self._reads.reconcile(self._live, within, self._corrections.by_series())
        self._log_problem(reading)
        if reading.failed:
            return
        self._corrections.forget_before(until)
        self._reconciled = until
        self.totals.comparison += found
        if found.differing:
            logger.warning("stream and REST: %s. The stored bars are those of REST now", found)

    def _log_problem(self, reading: Reading) -> None:
        """Log why series could not be read, once for each reason in a row."""
        if reading.problem and reading.problem != self._last_problem and not self._stopping.is_set():
            logger.warning("%s. The next reading tries again", reading.problem.rstrip("."))
        self._last_problem = reading.problem

    # -- pauses ----------------------------------------------------------------------------------------------

    def _pause_before(self, failures: int) -> float:
        longest = exponential_pause(self._pace.first_pause, failures, self._pace.longest_pause)
        return longest * random.uniform(0.5, 1.0)  # so that many recorders do not come back at once

    async def _pause(self, stop: asyncio.Event, failures: int) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop.wait(), self._pause_before(failures))


async def _ended_first(future: asyncio.Future[None], stop: asyncio.Event) -> bool:
    """Wait until a future has ended or `stop` is set; return whether it was the future."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({future, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    return future.done()
