"""Decides which bars of a recorded market are read by REST, and when. Its methods block, and run in one thread."""

from __future__ import annotations

import logging
import threading

from lumibot_duckdb import clock
from lumibot_duckdb.live.closed import settle_margin
from lumibot_duckdb.live.covered_time import trading_gaps
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.live.streams.arrival_lag import ArrivalLag
from lumibot_duckdb.live.streams.held_corrections import HeldCorrections
from lumibot_duckdb.live.streams.recorded_market import RecordedMarket
from lumibot_duckdb.live.streams.rest_reads import Reading, RestReads
from lumibot_duckdb.live.streams.totals import Totals
from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StoreWriteError
from lumibot_duckdb.storage.times import NEW_YORK, SECONDS_PER_DAY, date_of, midnight

logger = logging.getLogger(__name__)

_PUBLISHED_AFTER = 30
"""Seconds after which the REST API has a bar that has just closed."""
_GAPS_AGAIN_AFTER = 60
"""Seconds until what could not be read is tried again."""
_RESUMED_DAYS = 7


class RestUpkeep:
    """What a stream missed, what has settled, and what differs.

    Parameters:
        market: what is recorded.
        storage: the store, to see what it has.
        recorder: writes the bars.
        corrections: what the stream has corrected.
        lag: how late the bars of the stream arrive.
        totals: where is counted what was read.
        interval: the seconds between two readings of settled bars.
        stopping: ends a reading between two series.
    """

    def __init__(
        self,
        market: RecordedMarket,
        storage: DataStorageInterface,
        recorder: Recorder,
        corrections: HeldCorrections,
        lag: ArrivalLag,
        totals: Totals,
        *,
        interval: float,
        stopping: threading.Event,
    ) -> None:
        self.newest_settled: EpochSeconds | None = None
        self._live = [each.live for each in market.series]
        self._settled = [each.settled for each in market.series]
        self._delay = max(each.delay for each in (*self._live, *self._settled))
        self._storage = storage
        self._reads = RestReads(storage, recorder, stopping)
        self._corrections = corrections
        self._lag = lag
        self._totals = totals
        self._interval = interval
        self._stopping = stopping
        self._since: EpochSeconds = 0
        self._reconciled: EpochSeconds = 0
        self._gaps: list[TimeRange] = []
        self._due = 0.0
        self._gaps_due = 0
        self._last_problem = ""

    def begin(self) -> EpochSeconds | None:
        """Begin now or, if bars were recorded lately, at the first gap in them, else at the last bar.

        Return since when the stream misses bars that are not noted yet: now, or None if none were recorded lately.
        """
        self._merge_spooled()
        now = clock.epoch_now()
        self._since = self._reconciled = now - now % self._live[0].length
        self._due = now + self._interval
        recorded = {each.key: found for each in self._live if (found := self._recorded(each.key))}
        last = min(now, max((found.end for found in recorded.values()), default=0))  # the clock may have been set back
        week_ago = now - _RESUMED_DAYS * SECONDS_PER_DAY
        if last < week_ago:
            return None
        self._due = 0.0
        first = min(found.start for found in recorded.values())
        missed = min(
            self._first_gap(key, max(found.start, week_ago), found.end, last) for key, found in recorded.items()
        )
        unread = min(self._first_gap(each.key, max(first, week_ago), last, last) for each in self._settled)
        self._since = _day_of(min(missed, unread))
        self._reconciled = max(_day_of(missed), first)
        self.missed(TimeRange(missed, now))
        return now

    def missed(self, gap: TimeRange) -> None:
        """Take note of a range in which the stream was not connected."""
        if gap.start < gap.end:
            self._gaps.append(gap)

    def work(self) -> None:
        """Do what is due."""
        now = clock.epoch_now()
        ready = [gap for gap in self._gaps if gap.end + self._live[0].delay + _PUBLISHED_AFTER <= now]
        if ready and not self._gaps_due - _GAPS_AGAIN_AFTER <= now < self._gaps_due:
            self._gaps_due = now + _GAPS_AGAIN_AFTER
            self._fill_gaps()
            self._due = now
        if not self._due - self._interval <= now < self._due:  # also if the clock was set back
            self._due = now + self._interval
            self._read_settled()
            self._reconcile(_day_of(self._settled_until()))

    def finish(self) -> None:
        """Read everything that has settled, and compare it."""
        self._fill_gaps()
        self._read_settled()
        self._reconcile(self._settled_until())

    def _merge_spooled(self) -> None:
        """Store what an earlier recorder could only keep beside the store: else it counts as missing."""
        try:
            self._storage.merge_spooled()
        except StoreWriteError as error:  # the disk is full, for example: later bars are kept beside the store, too
            logger.warning("%s", error)

    def _recorded(self, key: SeriesKey) -> TimeRange | None:
        """Return from the first to the last bar of a series; None if it has none."""
        try:
            facts = self._storage.facts(self._storage.pin(key))
        except SeriesNotFoundError:
            return None
        return None if facts.first is None or facts.last is None else TimeRange(facts.first, facts.last)

    def _first_gap(
        self, key: SeriesKey, start: EpochSeconds, end: EpochSeconds, otherwise: EpochSeconds
    ) -> EpochSeconds:
        """Return where the first gap of a series within a range begins.

        A recorder that is killed leaves one if it has stored new bars, but not yet read what its predecessor missed.
        """
        covered = self._storage.coverage(key, permanent_only=True)
        gaps = trading_gaps(key, TimeRange(start, max(start, end)), covered)
        return gaps[0].start if gaps else otherwise

    def _fill_gaps(self) -> None:
        """Read what the stream has missed; what cannot be read is tried again."""
        until = clock.epoch_now() - self._live[0].delay
        for gap in [each for each in self._gaps if each.end <= until]:
            reading = self._reads.read_again(self._live, gap)
            self._log_problem(reading)
            if not reading.failed:
                self._gaps.remove(gap)
                if reading.bars:
                    logger.info("read %d bars of the time without a connection", reading.bars)

    def _settled_until(self) -> EpochSeconds:
        """Return a time such that all bars that start before it are settled, and are not withheld any more."""
        length = self._live[0].length
        margin = max(settle_margin().total_seconds(), self._delay) + self._lag.seconds
        end = int(clock.epoch_now() - margin)
        return end - end % length

    def _read_settled(self) -> None:
        until = self._settled_until()
        if until <= self._since:
            return
        reading = self._reads.read_uncovered(self._settled, TimeRange(self._since, until))
        self._totals.settled += reading.bars
        self.newest_settled = reading.newest or self.newest_settled
        self._log_problem(reading)
        if not reading.failed:
            self._totals.settled_until = until

    def _reconcile(self, until: EpochSeconds) -> None:
        """Make the bars of the stream equal to those of REST up to a time, and report how they differed."""
        until = min([until, *(gap.start for gap in self._gaps)])  # the stream cannot have sent what it missed
        if until <= self._reconciled:
            return
        within = TimeRange(self._reconciled, until)
        reading, found = self._reads.reconcile(self._live, within, self._corrections.by_series())
        self._log_problem(reading)
        if reading.failed:
            return
        self._corrections.forget_before(until)
        self._reconciled = until
        self._totals.comparison += found
        if found.differing:
            logger.warning("stream and REST: %s. The stored bars are those of REST now", found)

    def _log_problem(self, reading: Reading) -> None:
        """Log why series could not be read, once for each reason in a row."""
        problem = "" if self._stopping.is_set() else reading.problem
        if problem and problem != self._last_problem:
            logger.warning("%s. The next reading tries again", problem.rstrip("."))
        self._last_problem = problem


def _day_of(time: EpochSeconds) -> EpochSeconds:
    """Return when the day of a time began in New York."""
    return midnight(date_of(time, NEW_YORK), NEW_YORK)
