"""Compares adjusted bars with the stored ones before they are recorded.

After a split or a dividend, a source returns other prices for the past. Bars with the new prices must not follow stored
ones with the old prices. So the first bars of each series and day are compared with the stored ones; if those have
changed, the series is restated. That reads the store, so a separate thread does it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.bar_recorder import BarRecorder
from lumibot_duckdb.live.recording import process_end
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
_PART = 20_000  # bars, a tenth of what the recorder's queue takes
_LONG = 5_000  # bars
_PAUSE = 1.0  # seconds until a busy store is read again
_FLUSH = 60.0


class AdjustedRecorder:
    """Passes bars to a recorder, adjusted ones once they have been compared with the store.

    Parameters:
        recorder: stores bars.
        storage: opens the store; called in the thread.
    """

    def __init__(self, recorder: BarRecorder, storage: Callable[[], DataStorageInterface]) -> None:
        self._recorder = recorder
        self._open = storage
        self._storage: DataStorageInterface | None = None
        self._checked: dict[SeriesKey, datetime] = {}
        self._waiting: queue.Queue[tuple[LiveBars, bool]] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._ending = threading.Event()
        self.lost = 0
        """How many bars were not passed on, because too many waited, or the store could not be read."""
        process_end.forget(recorder)  # this one closes it, once nothing is left to compare
        process_end.close_then(self)

    @property
    def counts(self) -> Any:
        """The recorder's numbers of bars."""
        return self._recorder.counts

    @property
    def waiting(self) -> int:
        """How many bars are still to be passed on."""
        return sum(len(live_bars.bars) for live_bars, _ in list(self._waiting.queue))

    def record(self, live_bars: LiveBars) -> None:
        """Pass on bars whose prices never change. Never blocks, never raises."""
        if len(live_bars.bars) < _LONG:
            self._recorder.record(live_bars)
        else:
            self._put(live_bars, adjusted=False)

    def record_adjusted(self, live_bars: LiveBars) -> None:
        """Pass on bars of a series whose past prices may change. Never blocks, never raises."""
        self._put(live_bars, adjusted=True)

    def _put(self, live_bars: LiveBars, *, adjusted: bool) -> None:
        if self.waiting + len(live_bars.bars) > _CAPACITY:
            if not self.lost:
                logger.warning("too many bars wait for the store, so bars of %s are lost", live_bars.key.label())
            self.lost += len(live_bars.bars)
        else:
            self._waiting.put((live_bars, adjusted))
        self._ensure_thread()

    def recheck(self, key: SeriesKey) -> None:
        """Compare the next bars of a series again."""
        self._checked.pop(key, None)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything is passed on and stored, or for `timeout` seconds."""
        deadline = _deadline(timeout)
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)
        self._recorder.flush(max(0.0, deadline - time.monotonic()))

    def close(self, timeout: float | None = None) -> bool:
        """Pass on and store what waits, for at most `timeout` seconds, and end; return whether all is stored."""
        deadline = _deadline(timeout)
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)
        self._ending.set()
        if self._thread is not None:
            self._thread.join(max(0.5, min(_FLUSH, deadline - time.monotonic())))
        self.lost += self.waiting
        self._waiting = queue.Queue()
        process_end.forget(self)
        return bool(self._recorder.close(max(0.0, deadline - time.monotonic())))

    def start_over(self) -> None:
        """Begin without anything that waits, in a forked process: the parent has the thread, and may hold locks."""
        self._recorder.start_over()
        self._waiting = queue.Queue()
        self._guard = threading.Lock()
        self._thread = None
        self.lost = 0

    def _ensure_thread(self) -> None:
        """Start the thread if there is none: at first, and in a forked process."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._guard:
            if (self._thread is None or not self._thread.is_alive()) and not self._ending.is_set():
                self._thread = threading.Thread(target=self._run, name="lumibot-duckdb-adjusted-bars", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        waiting = self._waiting
        while not self._ending.is_set():
            try:
                live_bars, adjusted = waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                for part in in_parts(self._prepared(live_bars) if adjusted else live_bars, _PART):
                    if self._recorder.counts.waiting > _PART:
                        self._recorder.flush(_FLUSH)
                    self._recorder.record(part)
            except Exception:
                self.lost += len(live_bars.bars)
                logger.warning("bars of %s were not recorded", live_bars.key.label(), exc_info=True)
            finally:
                waiting.task_done()

    def _prepared(self, live_bars: LiveBars) -> LiveBars:
        """Return adjusted bars for the recorder, compared with the stored ones if that is due."""
        key, asked_at = live_bars.key, live_bars.asked_at
        checked = self._checked.get(key)
        if checked is None or _day(checked) != _day(asked_at):
            live_bars = self._compared(live_bars)
            checked = self._checked[key] = asked_at
        # The same for all bars of a day, because writes with different metadata cannot be joined.
        noted = {**live_bars.metadata, GIVEN_AT: checked.isoformat()}
        return replace(live_bars, metadata=noted)

    def _compared(self, live_bars: LiveBars) -> LiveBars:
        """Compare bars with the store, and restate the series if need be; try again while the store is busy."""
        self._recorder.flush(_FLUSH)  # what was recorded earlier has the earlier prices
        is_logged = False
        while True:
            try:
                if self._storage is None:
                    self._storage = self._open()
                self._storage.merge_spooled()
                return compared(self._storage, live_bars)
            except StorageError as error:
                if self._ending.is_set():
                    raise
                if not is_logged:
                    is_logged = True
                    logger.warning("adjusted bars wait until the store can be read: %s", error)
                self._ending.wait(_PAUSE)


def _deadline(timeout: float | None) -> float:
    """Return until when to wait, by `time.monotonic`; None is an hour."""
    return time.monotonic() + (3_600.0 if timeout is None else timeout)


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
