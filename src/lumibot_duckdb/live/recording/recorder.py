"""`Recorder`: takes live bars at any time, and stores them in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recording import process_end
from lumibot_duckdb.live.recording.bar_queue import BarQueue, QueuedBars
from lumibot_duckdb.live.recording.batch_writer import BatchWriter, Fate, State, StorageFactory
from lumibot_duckdb.live.recording.failure_log import FailureLog

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

CAPACITY = 200_000
"""Bars: about 20 MB."""
PAUSE_SECONDS = 3.0
"""Longer than an unused store stays open in this process, so that other programs can open it between two batches."""
_RESTART_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RecorderCounts:
    """Numbers of bars so far. `recorded` is the sum of the others.

    Attributes:
        recorded: Passed to `record`.
        written: In the store, those included that it had already.
        waiting: In the queue, or being written.
        spooled: Kept beside the store, since it could not be written; the next write to it merges them.
        dropped: Lost because the queue was full, or the recorder closed.
        failed: Lost because they could be neither stored nor spooled.
        unfinished: Left out because they had not closed.
    """

    recorded: int = 0
    written: int = 0
    waiting: int = 0
    spooled: int = 0
    dropped: int = 0
    failed: int = 0
    unfinished: int = 0


class Recorder:
    """Stores live bars from a separate thread, so that its callers never wait for the store and see none of its errors.

    Every few seconds, what was recorded is written in one transaction, with what it covers. If another program holds
    the store or the disk fails, the bars are kept beside the store, and the next write merges them. What cannot even be
    kept is lost, with its coverage, so that a later backfill finds the gap. Each cause is logged once, and once more
    when it is over, with what was lost. A kill loses what was recorded in the last few seconds; the end of the
    interpreter loses nothing. SIGTERM loses nothing either, if the recorder was made in the main thread; a program that
    handles SIGTERM must close the recorder, or end the interpreter.

    After a fork, the recorder of the child is empty, and can be used there.

    Args:
        storage_factory: Returns the storage, such as `DuckDBDataStorage`. It is called in the thread, once there is
            something to write.
        capacity: How many bars may wait; an item counts as 32 bars at least. Further ones are lost.
        pause_seconds: How long bars are collected before they are written.

    Raises:
        ValueError: `capacity` or `pause_seconds` is unusable.

    A `with` block closes the recorder at its end.

    Example:
        >>> from datetime import datetime, timezone
        >>> import pandas as pd
        >>> from lumibot_duckdb import DuckDBDataStorage
        >>> from lumibot_duckdb.live import LiveBars, Recorder
        >>> from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
        >>> times = pd.date_range("2024-01-02 14:30", periods=3, freq="min", tz="UTC")
        >>> live_bars = LiveBars(
        ...     key=SeriesKey(AssetKey("HPQ"), "my_feed", "minute"),
        ...     bars=pd.DataFrame({"close": [30.0, 30.1, 30.2]}, index=times),
        ...     covered=(TimeRange(1704205800, 1704205980),),
        ...     asked_at=datetime(2024, 1, 2, 14, 32, 5, tzinfo=timezone.utc),  # the bar of 14:32 is not finished
        ... )
        >>> with Recorder(DuckDBDataStorage) as recorder:
        ...     recorder.record(live_bars)
        ...     recorder.flush()
        True
        >>> recorder.counts.written, recorder.counts.unfinished
        (2, 1)
    """

    def __init__(
        self, storage_factory: StorageFactory, *, capacity: int = CAPACITY, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity!r}: pass the number of bars that may wait, at least 1")
        if not 0 <= pause_seconds <= threading.TIMEOUT_MAX:
            raise ValueError(f"pause_seconds is {pause_seconds!r}: pass a number of seconds, at least 0")
        self._storage_factory = storage_factory
        self._capacity = capacity
        self._pause_seconds = pause_seconds
        self.start_over()
        process_end.close_then(self)

    def start_over(self) -> None:
        """Be as at first, which is also for a forked child: it has no such thread, and the bars are the parent's."""
        self._queue = BarQueue[QueuedBars](self._capacity)
        self._writer = BatchWriter(self._storage_factory)
        self._log = FailureLog()
        self._counts = dict.fromkeys(State, 0)
        self._thread: threading.Thread | None = None
        self._next_start = 0.0
        self._complaints = set[str]()

    # -- what others call ------------------------------------------------------------------------------------

    def record(self, live_bars: LiveBars) -> None:
        """Take bars. It returns within microseconds, also if the store is held or its disk is full, and never raises.

        The recorder keeps the frame of the bars, so nobody may change it afterwards: pass a copy of one that a strategy
        has seen. The metadata should not differ from one response to the next, since bars with different metadata are
        separate writes.
        """
        try:
            self._queue.put(QueuedBars.now(live_bars))
            self._ensure_thread()
        except Exception as error:
            self._complain("live bars are lost: %.200r cannot be recorded", live_bars, cause=error)

    @property
    def counts(self) -> RecorderCounts:
        """How many bars were recorded so far, and what became of them."""
        with self._queue.lock:
            return RecorderCounts(
                recorded=self._queue.recorded,
                waiting=self._queue.waiting,
                dropped=self._queue.dropped,
                **{state.value: bars for state, bars in self._counts.items()},
            )

    def flush(self, timeout: float | None = None) -> bool:
        """Write what was recorded before this call; wait for it, up to `timeout` seconds (None: as long as it takes).

        Returns whether nothing of it waits any more: it is in the store, or was counted as spooled, lost or unfinished.
        """
        if self._thread is threading.current_thread():  # a handler of the log, for example: it would wait for itself
            return False
        return self._queue.wait_until_done(timeout, self._ensure_thread)

    def close(self, timeout: float | None = None) -> bool:
        """Write what was recorded, and end the thread. Bars that are recorded later are counted as dropped.

        Returns whether nothing waits any more, as `flush` does. It may be called repeatedly.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._queue.close()
        done = self.flush(timeout)
        if done:
            if self._thread is not None:
                self._thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            process_end.forget(self)
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the thread ------------------------------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        """Start the thread if there is something to write and it does not run, or has crashed."""
        thread = self._thread
        if (thread is not None and thread.is_alive()) or self._queue.is_empty:
            return
        with self._queue.lock:
            if self._thread is not thread or time.monotonic() < self._next_start:
                return
            self._next_start = time.monotonic() + _RESTART_SECONDS
            process_end.close_with_worker()
            self._thread = threading.Thread(target=self._run, name="lumibot-duckdb recorder", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # too many threads, or the interpreter ends
            self._complain("the thread that writes live bars cannot be started, and is tried again", cause=error)

    def _complain(self, message: str, *values: object, cause: Exception) -> None:
        """Log what goes wrong outside of the thread, once for each message."""
        if message not in self._complaints:
            self._complaints.add(message)
            logger.warning(message, *values, exc_info=cause)

    def _run(self) -> None:
        while (batch := self._queue.take(self._pause_seconds)) is not None:
            self._write(batch)
        self._log.end()

    def _written(self, batch: Sequence[QueuedBars]) -> list[Fate]:
        """Write items, and after an error that nobody expects one by one, which at most repeats a write."""
        try:
            return self._writer.write(batch)
        except Exception as error:
            if len(batch) == 1:
                return [Fate.failed(batch[0], error)]
            return [fate for item in batch for fate in self._written([item])]

    def _write(self, batch: list[QueuedBars]) -> None:
        """Write a batch, and account for all of it, also if an error ends the thread."""
        fates: Sequence[Fate] = ()
        try:
            fates = self._written(batch)
        except BaseException as error:
            fates = [Fate.failed(item, error) for item in batch]
            raise
        finally:
            with self._queue.lock:
                for fate in fates:
                    self._counts[fate.state] += fate.bars
                self._queue.done(batch)
            self._log.report(fates, self._queue.take_dropped())
