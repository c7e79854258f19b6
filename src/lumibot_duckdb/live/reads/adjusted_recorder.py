"""Prepares bars for the recorder in a thread, and compares adjusted ones with the stored ones first.

After a split or a dividend, a source returns other prices for the past. Bars with the new prices must not follow stored
ones with the old prices. So the first bars of each series and day are compared with the stored ones; if those have
changed, the series is restated.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.bar_recorder import BarRecorder
from lumibot_duckdb.live.reads.read_bars import ReadBars
from lumibot_duckdb.live.reads.series_keys import NotRecordedError
from lumibot_duckdb.live.recording import process_end
from lumibot_duckdb.live.recording.bar_queue import BarQueue
from lumibot_duckdb.live.recording.losses import span
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars.coverage import common
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StorageError
from lumibot_duckdb.storage.times import NEW_YORK, bar_starts, utc_now

logger = logging.getLogger(__name__)

GIVEN_AT = "given_at"
"""Metadata key: when the source returned the bars (ISO, UTC), which says for which splits and dividends they are
adjusted. It is the one that the Alpaca source reads."""

_SAME = 1e-6  # relative difference of prices
_CAPACITY = 1_000_000  # bars, about 60 MB; a strategy may read years of history at its start
_COLLECT = 1.0  # seconds; most iterations have ended by then
_PART = 20_000  # bars, a tenth of what the recorder's queue takes
_PAUSE = 1.0  # seconds until a busy store is read again
_FLUSH = 60.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Bars that are still to be passed on. `recheck` says that past prices have just changed."""

    source: LiveBars | ReadBars
    bars: int
    adjusted: bool
    recheck: bool

    @property
    def key(self) -> SeriesKey:
        return self.source.key

    @property
    def within(self) -> TimeRange | None:
        return span(self.source.covered)

    def live_bars(self) -> LiveBars:
        return self.source.live_bars() if isinstance(self.source, ReadBars) else self.source


class _StoreNotReadableError(Exception):
    """Bars cannot be compared now."""


class AdjustedRecorder:
    """Passes bars to a recorder, adjusted ones once they have been compared with the store.

    Bars that a strategy has read are made into frames here, about a second later, so as not to compete with it.

    Parameters:
        recorder: stores bars.
        storage: opens the store; called in the thread.
    """

    def __init__(self, recorder: BarRecorder, storage: Callable[[], DataStorageInterface]) -> None:
        self._recorder = recorder
        self._open = storage
        self._storage: DataStorageInterface | None = None
        self._checked: dict[SeriesKey, datetime] = {}
        self._ending = threading.Event()
        self._begin()
        process_end.forget(recorder)  # this one closes it, once nothing is left to compare
        process_end.close_then(self)

    def _begin(self) -> None:
        self._queue = BarQueue[_Waiting](_CAPACITY)
        self._thread: threading.Thread | None = None
        self._guard = threading.RLock()  # a handler of a signal may close the recorder while its thread is in here
        self._to_recheck: set[SeriesKey] = set()
        self._unflushed: set[SeriesKey] = set()
        self._failed = 0
        self._logged: set[str] = set()

    @property
    def counts(self) -> Any:
        """The recorder's numbers of bars."""
        return self._recorder.counts

    @property
    def waiting(self) -> int:
        """How many bars are still to be passed on."""
        return self._queue.waiting

    @property
    def lost(self) -> int:
        """How many bars were not passed on, because too many waited, or the store could not be read."""
        return self._queue.dropped + self._failed

    def record(self, live_bars: LiveBars) -> None:
        """Pass on bars whose prices never change. Never blocks, never raises."""
        self._put(live_bars, len(live_bars.bars), adjusted=False)

    def record_adjusted(self, live_bars: LiveBars) -> None:
        """Pass on bars of a series whose past prices may change. Never blocks, never raises."""
        self._put(live_bars, len(live_bars.bars), adjusted=True)

    def record_read(self, read_bars: ReadBars) -> None:
        """Pass on bars that a strategy has read. Never blocks, never raises."""
        self._put(read_bars, len(read_bars), adjusted=read_bars.destination.adjusted)

    def _put(self, source: LiveBars | ReadBars, bars: int, *, adjusted: bool) -> None:
        recheck = bool(self._to_recheck) and source.key in self._to_recheck
        if not self._queue.put(_Waiting(source, bars, adjusted, recheck)):
            self._log_once("full", "too many bars wait for the store, so bars of %s are lost", source.key.label())
        elif recheck:
            self._to_recheck.discard(source.key)
        self._ensure_thread()

    def recheck(self, key: SeriesKey) -> None:
        """Compare the next bars of a series again."""
        self._to_recheck.add(key)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything is passed on and stored, or for `timeout` seconds."""
        deadline = _deadline(timeout)
        self._queue.wait_until_done(_left(deadline), self._ensure_thread)
        self._recorder.flush(_left(deadline))

    def close(self, timeout: float | None = None) -> bool:
        """Pass on and store what waits, for at most `timeout` seconds, and end; return whether all is stored."""
        deadline = _deadline(timeout)
        self._queue.close()
        self._queue.wait_until_done(_left(deadline), self._ensure_thread)
        self._ending.set()
        if self._thread is not None:
            self._thread.join(max(0.5, min(_FLUSH, _left(deadline))))
        self._failed += self._queue.waiting
        process_end.forget(self)
        return bool(self._recorder.close(_left(deadline)))

    def start_over(self) -> None:
        """Begin without anything that waits, in a forked process: the parent has the thread, and may hold locks."""
        self._recorder.start_over()
        self._begin()

    # -- the thread ------------------------------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        """Start the thread if there is none: at first, and in a forked process."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._guard:
            if (self._thread is None or not self._thread.is_alive()) and not self._ending.is_set():
                process_end.close_with_worker()
                self._thread = threading.Thread(target=self._run, name="lumibot-duckdb-read-bars", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        delayed: list[_Waiting] = []
        while not self._ending.is_set():
            taken = self._queue.take(_COLLECT, _PAUSE if delayed else None)
            if taken is None:
                if not delayed:
                    return
                self._ending.wait(_PAUSE)
            delayed = self._passed_on([*delayed, *(taken or ())])

    def _passed_on(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Pass bars on, in the order of each series; return those that wait until the store can be read."""
        delayed: dict[SeriesKey, list[_Waiting]] = {}
        for item in batch:
            if self._ending.is_set():
                break
            if item.key in delayed or (delayed and self._is_to_compare(item)):
                delayed.setdefault(item.key, []).append(item)
                continue
            try:
                self._pass_on(item)
            except _StoreNotReadableError as error:
                self._log_once("delay", "adjusted bars wait until the store can be read: %s", error)
                delayed[item.key] = [item]
                continue
            except NotRecordedError as error:
                self._log_once(item.key.label(), "bars of %s are not recorded: %s", item.key.label(), error)
            except Exception:
                self._failed += item.bars
                logger.warning("bars of %s were not recorded", item.key.label(), exc_info=True)
            self._queue.done([item])
        return [item for of_series in delayed.values() for item in of_series]

    def _pass_on(self, item: _Waiting) -> None:
        live_bars = item.live_bars()
        if item.adjusted:
            live_bars = self._prepared(item, live_bars)
        for part in in_parts(live_bars, _PART):
            if self._recorder.counts.waiting > _PART:
                self._recorder.flush(_FLUSH)
            self._unflushed.add(item.key)
            self._recorder.record(part)

    def _is_to_compare(self, item: _Waiting) -> bool:
        """Return whether bars are compared with the store: the first ones of an adjusted series on each day."""
        checked = self._checked.get(item.key)
        if not item.adjusted or item.recheck or checked is None:
            return item.adjusted
        return _day(checked) != _day(item.source.asked_at)

    def _prepared(self, item: _Waiting, live_bars: LiveBars) -> LiveBars:
        """Return adjusted bars for the recorder, compared with the stored ones if that is due."""
        if self._is_to_compare(item):
            live_bars = self._compared(live_bars)
            self._checked[item.key] = item.source.asked_at
        # The same for all bars of a day, because writes with different metadata cannot be joined.
        noted = {**live_bars.metadata, GIVEN_AT: self._checked[item.key].isoformat()}
        return replace(live_bars, metadata=noted)

    def _compared(self, live_bars: LiveBars) -> LiveBars:
        """Compare bars with the store, and restate the series if need be."""
        if live_bars.key in self._unflushed:  # what was recorded earlier has the earlier prices
            self._recorder.flush(_FLUSH)
            self._unflushed.clear()
        try:
            if self._storage is None:
                self._storage = self._open()
            self._storage.merge_spooled()
            found = compared(self._storage, live_bars)
        except StorageError as error:
            raise _StoreNotReadableError(error) from error
        self._logged.discard("delay")
        return found

    def _log_once(self, cause: str, message: str, *values: object) -> None:
        if cause not in self._logged:
            self._logged.add(cause)
            logger.warning(message, *values)


def _deadline(timeout: float | None) -> float:
    """Return until when to wait, by `time.monotonic`; None is an hour."""
    return time.monotonic() + (3_600.0 if timeout is None else timeout)


def _left(deadline: float) -> float:
    """Return for how long to wait."""
    return max(0.0, deadline - time.monotonic())


@dataclass(frozen=True)
class _Difference:
    """How many bars are stored, too, and whether the oldest of these, or any, has another price."""

    common: int
    oldest: bool
    any: bool


def in_parts(live_bars: LiveBars, most: int) -> Iterator[LiveBars]:
    """Yield bars in parts of at most `most`, each with what it covers, because the recorder's queue is bounded."""
    starts = bar_starts(live_bars.bars)
    if len(starts) <= most:
        yield live_bars
        return
    starts = np.sort(starts)
    cuts = [min(piece.start for piece in live_bars.covered), *starts[most::most].tolist()]
    ends = [*cuts[1:], max(piece.end for piece in live_bars.covered)]
    for start, end in zip(cuts, ends, strict=True):
        covered = common(live_bars.covered, [TimeRange(start, end)])
        times = bar_starts(live_bars.bars)
        yield replace(live_bars, bars=live_bars.bars[(times >= start) & (times < end)], covered=tuple(covered))


def compared(storage: DataStorageInterface, live_bars: LiveBars) -> LiveBars:
    """Return what is to be recorded, after the stored bars were prepared for it.

    - If the oldest bar that both have differs, the source has adjusted the past: the series is restated.
    - If only later ones differ, they were corrected: they replace the stored ones.
    - If they have none in common, nothing shows whether both are adjusted alike. The last stored bar before them is
      forgotten to be covered, so that a backtest over both requests it again, and compares splits and dividends first.

    Raises:
        StorageError: the store cannot be read or written.
    """
    key = live_bars.key
    try:
        pin = storage.pin(key)
    except SeriesNotFoundError:
        return live_bars
    if not storage.facts(pin).rows or not len(live_bars.bars):
        return live_bars
    found = _difference(storage, pin, live_bars)
    if found.oldest:
        logger.info("the prices of %s have changed at the source: the series is restated", key.label())
        storage.restate_series(key.asset, key.source, key.timeframe, adjustment=key.adjustment)
        # The recorder refuses bars that were requested before a restatement, but these are the reason for it.
        return replace(live_bars, asked_at=utc_now())
    if found.any:
        return replace(live_bars, replace=True)
    if not found.common and not _is_of_same_day(storage, pin, live_bars.asked_at):
        start = int(bar_starts(live_bars.bars).min())
        last = storage.last_time_at_or_before(pin, start - 1)
        if last is not None:
            storage.forget_coverage(key, TimeRange(last, last + 1))
    return live_bars


def _difference(storage: DataStorageInterface, pin: SeriesPin, live_bars: LiveBars) -> _Difference:
    starts = bar_starts(live_bars.bars)
    order = np.argsort(starts, kind="stable")
    within = TimeRange(int(starts[order[0]]), int(starts[order[-1]]) + 1)
    names = [each.name for each in storage.facts(pin).columns if each.name in ("open", "high", "low", "close")]
    names = [name for name in names if name in live_bars.bars]
    stored = storage.read_bars(pin, within, names, remember=False)
    _, here, there = np.intersect1d(stored.times, starts[order], assume_unique=True, return_indices=True)
    differs = np.zeros(len(here), dtype=bool)
    for name in names:
        ours = np.asarray(stored.columns[name], dtype=float)[here]
        theirs = live_bars.bars[name].to_numpy(dtype=float)[order][there]
        differs |= ~np.isclose(ours, theirs, rtol=_SAME, atol=0, equal_nan=True)
    return _Difference(len(here), bool(differs[:1].any()), bool(differs.any()))


def _is_of_same_day(storage: DataStorageInterface, pin: SeriesPin, asked_at: datetime) -> bool:
    """Return whether the last write has bars that the source returned on the same day of New York."""
    written: Any = storage.ingests(pin)
    if not written:
        return False
    noted = written[-1].metadata.get(GIVEN_AT)
    given_at = written[-1].ingested_at if noted is None else datetime.fromisoformat(noted)
    return _day(given_at) == _day(asked_at)


def _day(moment: datetime) -> date:
    return moment.astimezone(NEW_YORK).date()
