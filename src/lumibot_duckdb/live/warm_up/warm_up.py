"""Answers live reads from the store where it is certain, and requests the rest from the broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb import clock
from lumibot_duckdb.live.checking.verified import VerifiedKinds
from lumibot_duckdb.live.closed import settled_before
from lumibot_duckdb.live.warm_up.choice import WarmUpArgument, WarmUpChoice, chosen_warm_up
from lumibot_duckdb.live.warm_up.restatements import Restatements
from lumibot_duckdb.live.warm_up.timed_reads import TimedReads
from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges, merged
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import epoch_seconds_ceiling

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.live.reads.live_read import FetchOne
    from lumibot_duckdb.live.warm_up.broker_frames import FrameForm
    from lumibot_duckdb.live.warm_up.joining import Joined
    from lumibot_duckdb.live.warm_up.stored_part import StoredPart

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 2.0
BARS_WORTH_A_REQUEST = 300
"""How many bars have to come from the store for each request beyond the first: the smallest page of a broker."""

_FEWEST_BARS = 10
_COMPARED_EVERY = timedelta(days=1)
_PAUSE_IF_DIFFERENT = timedelta(days=1)
_PAUSE_IF_UNKNOWN = timedelta(minutes=15)


@dataclass(frozen=True)
class WarmUpCounts:
    """What a warm-up did.

    Attributes:
        reads: Reads that were answered from the store, at least in part.
        bars: Bars that came from the store.
        late: Reads that did not use the store because it did not answer in time.
        different: Series whose stored bars differed from the broker's.
    """

    reads: int = 0
    bars: int = 0
    late: int = 0
    different: int = 0


@dataclass(frozen=True)
class _Compared:
    """How a broker's frames of a series look, and when stored bars were last compared with them.

    `oldest` is the first bar that was, `oldest_at` when.
    """

    form: FrameForm
    at: datetime
    oldest: EpochSeconds | None = None
    oldest_at: datetime | None = None


@dataclass(frozen=True)
class _Plan:
    """Which part of a range comes from the store, and what is requested from the broker."""

    wanted: TimeRange
    part: StoredPart
    requests: tuple[TimeRange, ...]


def warm_up_of(
    storage: Callable[[], DataStorageInterface], store: Path, argument: WarmUpArgument = None
) -> WarmUp | None:
    """Return the warm-up of a live process; None if it is switched off.

    Parameters:
        storage: opens the store; called once, in another thread.
        store: the path of the store, for the record of what `live check` has verified.
        argument: True for all series, False for none, "auto" for those that are verified; None for what the variable
            LUMIBOT_DUCKDB_LIVE_WARM_UP says, or "auto".

    Raises:
        ValueError: the argument or the variable is none of true, false and auto.
    """
    choice = chosen_warm_up(argument)
    if choice is WarmUpChoice.OFF:
        return None
    return WarmUp(storage, VerifiedKinds(store).has if choice is WarmUpChoice.AUTO else lambda _: True)


class WarmUp:
    """A `ReadFilter` that answers from the store what it covers. Thread-safe.

    The frame equals the broker's. Each request includes a few stored bars, which are compared. If one differs, the
    broker answers everything, and the series is not read from the store for a day; if the broker adjusts all prices
    otherwise than when they were stored, the series is restated. A range that is covered as a whole is compared once a
    day, and so are the oldest bars of an adjusted series. Nothing here raises or delays a strategy: if the store does
    not answer in time, the broker does.

    Parameters:
        storage: opens the store; called once, in another thread.
        allows: whether a series may be read from the store.
        deadline_seconds: how long a read waits for the store.
    """

    def __init__(
        self,
        storage: Callable[[], DataStorageInterface],
        allows: Callable[[SeriesKey], bool],
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._open = storage
        self._opened: DataStorageInterface | None = None
        self._allows = allows
        self._reads = TimedReads(deadline_seconds)
        self._compared: dict[SeriesKey, _Compared] = {}
        self._paused: dict[SeriesKey, tuple[datetime, timedelta]] = {}
        self._reported: set[str] = set()
        self._guard = threading.Lock()
        self.restatements = Restatements(self._storage)
        self.counts = WarmUpCounts()

    def fetch(
        self, series: Any, key: SeriesKey, start: pd.Timestamp, stop: pd.Timestamp, fetch: FetchOne
    ) -> pd.DataFrame | None:
        """Return the bars of a series that start in `[start, stop)`, as the broker returns them; see `ReadFilter`.

        Rows beyond the range, which some brokers add, may be missing.
        """
        plan = self._safely(key, lambda: self._plan(key, start, stop))
        if plan is None:
            return fetch(start, stop)
        answers = [(request, fetch(*_bounds(request, plan.wanted, start, stop))) for request in plan.requests]
        whole = self._safely(key, lambda: self._joined(key, plan, answers))
        return fetch(start, stop) if whole is None else whole

    def close(self) -> None:
        """End the thread that restates series, if there is one."""
        self.restatements.close()

    # -- deciding what to ask --------------------------------------------------------------------------------

    def _plan(self, key: SeriesKey, start: pd.Timestamp, stop: pd.Timestamp) -> _Plan | None:
        """Return what to request; None if everything comes from the broker."""
        wanted = TimeRange(epoch_seconds_ceiling(start), epoch_seconds_ceiling(stop))
        settled = settled_before(key.timeframe)
        if settled - wanted.start < _FEWEST_BARS * bar_seconds(key.timeframe):
            return None  # the latest bars, which most reads of a running strategy are for
        if not self._trusts(key) or not self._allows(key):
            return None
        from lumibot_duckdb.live.warm_up.stored_part import stored_part

        part = self._reads.result_of(lambda: stored_part(self._storage(), key, wanted, settled))
        if part is None or not len(part.starts):
            return None
        requests = self._requests(key, part, wanted)
        saved = int((~in_ranges(part.starts, requests)).sum())
        if not saved or saved < BARS_WORTH_A_REQUEST * (len(requests) - 1):
            return None
        return _Plan(wanted, part, requests)

    def _requests(self, key: SeriesKey, part: StoredPart, wanted: TimeRange) -> tuple[TimeRange, ...]:
        from lumibot_duckdb.live.warm_up.requests import gaps_with_neighbours, newest_bars, oldest_bars

        length = bar_seconds(key.timeframe)
        known = self._compared.get(key)
        requests = gaps_with_neighbours(part, wanted, length)
        if not requests and (known is None or _is_old(known.at)):
            requests.append(newest_bars(part, length))
        if key.adjustment and not _knows_oldest(known, int(part.starts[0])):
            requests.append(oldest_bars(part, length))
        return tuple(merged(requests))

    def _trusts(self, key: SeriesKey) -> bool:
        since, pause = self._paused.get(key, (clock.utc_now(), timedelta()))
        return key not in self.restatements and not _is_within(since, pause)

    # -- joining ---------------------------------------------------------------------------------------------

    def _joined(
        self, key: SeriesKey, plan: _Plan, answers: list[tuple[TimeRange, pd.DataFrame | None]]
    ) -> pd.DataFrame | None:
        """Return the whole frame; None if everything must be requested from the broker."""
        from lumibot_duckdb.live.warm_up.joining import CannotJoinError, DifferentBarsError, joined

        known = self._compared.get(key)
        try:
            found = joined(plan.part, plan.wanted, answers, None if known is None else known.form)
        except CannotJoinError as reason:
            logger.debug("%s comes from the broker alone: %s", key.label(), reason)
            self._paused[key] = (clock.utc_now(), _PAUSE_IF_UNKNOWN)  # each attempt is one more request
            return None
        except DifferentBarsError as error:
            self._note_difference(key, plan.part, readjusted=error.readjusted)
            return None
        self._note_comparison(key, plan, found)
        self._count(reads=1, bars=found.stored)
        return found.frame

    def _note_comparison(self, key: SeriesKey, plan: _Plan, found: Joined) -> None:
        now, known = clock.utc_now(), self._compared.get(key)
        made = _Compared(found.form, now) if known is None or found.compared else known
        if known is not None:
            made = replace(made, oldest=known.oldest, oldest_at=known.oldest_at)
        first = int(plan.part.starts[0])
        if any(request.start <= first < request.end for request in plan.requests):
            made = replace(made, oldest=first, oldest_at=now)
        self._compared[key] = made

    def _note_difference(self, key: SeriesKey, part: StoredPart, *, readjusted: bool) -> None:
        self._compared.pop(key, None)
        self._count(different=1)
        if readjusted and key.adjustment:
            self.restatements.add(key, part.version_id)
            return
        self._paused[key] = (clock.utc_now(), _PAUSE_IF_DIFFERENT)
        logger.warning(
            "%s: stored bars differ from the broker's, so today its history comes from the broker alone; "
            "`lumibot-duckdb live check` lists the differences",
            key.label(),
        )

    # -- keeping errors away from the strategy ---------------------------------------------------------------

    def _safely(self, key: SeriesKey, work: Callable[[], Any]) -> Any:
        """Return what `work` returns; None if it fails, which is logged once for each cause."""
        from lumibot_duckdb.live.warm_up.timed_reads import StoreLateError

        try:
            return work()
        except Exception as error:
            if isinstance(error, StoreLateError):
                self._count(late=1)
            cause = type(error).__name__
            if cause not in self._reported:
                self._reported.add(cause)
                logger.warning("%s comes from the broker alone, not from the store: %s", key.label(), error)
        return None

    def _count(self, *, reads: int = 0, bars: int = 0, late: int = 0, different: int = 0) -> None:
        with self._guard:
            now = self.counts
            self.counts = WarmUpCounts(now.reads + reads, now.bars + bars, now.late + late, now.different + different)

    def _storage(self) -> DataStorageInterface:
        if self._opened is None:
            self._opened = self._open()
        return self._opened


def _bounds(
    request: TimeRange, wanted: TimeRange, start: pd.Timestamp, stop: pd.Timestamp
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return a requested range as the caller counts time; its ends are the caller's where they are the same."""
    from pandas import Timestamp

    def moment(seconds: EpochSeconds) -> pd.Timestamp:
        there: pd.Timestamp = Timestamp(seconds, unit="s", tz="UTC").tz_convert(start.tz)
        return there

    return (
        start if request.start == wanted.start else moment(request.start),
        stop if request.end == wanted.end else moment(request.end),
    )


def _is_old(moment: datetime) -> bool:
    """Return whether a comparison was a day ago, or is in the future because the clock was set back."""
    return not _is_within(moment, _COMPARED_EVERY)


def _is_within(moment: datetime, duration: timedelta) -> bool:
    """Return whether a duration since a moment has not passed yet."""
    return timedelta() <= clock.utc_now() - moment < duration


def _knows_oldest(known: _Compared | None, first: EpochSeconds) -> bool:
    """Return whether the oldest bars of a range, or older ones, were compared lately."""
    if known is None or known.oldest is None or known.oldest_at is None:
        return False
    return known.oldest <= first and not _is_old(known.oldest_at)
