"""Writes the events of one session from one thread. The strategy's threads only put them into a bounded queue."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event as ThreadEvent
from threading import RLock, Thread
from time import monotonic

from lumibot_duckdb import clock
from lumibot_duckdb.live.session.events import Event
from lumibot_duckdb.live.session.session_rows import SessionRows
from lumibot_duckdb.live.session.spool import Spool, abandoned_spools, read_spool
from lumibot_duckdb.results.live_records import LiveBatch, LiveSessionRecord, SessionStatus
from lumibot_duckdb.results.live_sessions import LiveSessions
from lumibot_duckdb.storage.errors import StoreBusyError

logger = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 60.0
"""How often a session that has nothing to write says that it still runs."""
_END_SECONDS = 15.0
"""How long the end of a session waits for its last rows to be written."""


@dataclass(frozen=True)
class SessionCounts:
    """Rows of a session: `recorded` is the sum of those `written`, `waiting`, `spooled` and `lost`."""

    recorded: int = 0
    written: int = 0
    waiting: int = 0
    spooled: int = 0
    lost: int = 0


class SessionRecorder:
    """Takes the events of a session and writes them every few seconds, each time in one transaction.

    While the results database cannot be written, rows go to a spool beside it, and if that fails, too, they stay in
    memory up to `capacity`. What is dropped then is counted. A forked process records nothing.

    Parameters:
        sessions: The results database.
        describe: Returns what is stored of the session. Called in the thread that writes, when there is something to
            write.
        pause_seconds: How long rows wait at most until they are written.
        capacity: How many rows may wait in memory.
    """

    def __init__(
        self,
        sessions: LiveSessions,
        describe: Callable[[], LiveSessionRecord],
        *,
        pause_seconds: float = 5.0,
        capacity: int = 200_000,
    ) -> None:
        self._sessions = sessions
        self._describe = describe
        self._pause = pause_seconds
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._counts = SessionCounts()
        self._guard = RLock()  # a handler of a signal may end the session while its thread is in here
        self._process = os.getpid()
        self._rows = SessionRows()
        self._record: LiveSessionRecord | None = None
        self._name: str | None = None
        self._spool: Spool | None = None
        self._pending: list[tuple[LiveBatch, int]] = []
        self._batches = 0
        self._lost = 0
        self._last_write = monotonic()
        self._failing = False
        self._is_over = False
        self._has_warned = False
        self._ending = ThreadEvent()
        self._status: tuple[SessionStatus, datetime] | None = None
        self._thread = Thread(target=self._run, name="lumibot-duckdb-session", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> SessionCounts:
        """How many rows there are. A bar that a request returned counts until it turns out to be known."""
        return self._counts

    @property
    def name(self) -> str | None:
        """The name of the session in the results; None until it is stored."""
        return self._name

    # -- in the strategy's threads -----------------------------------------------------------------------------

    def add(self, event: Event) -> None:
        """Take an event, unless the queue is full or the session's last batch is being written."""
        if os.getpid() != self._process:
            return
        with self._guard:
            counts = self._counts
            if self._is_over:
                self._warn_once_of_the_end()
            if self._is_over or counts.waiting + event.size > self._capacity:
                self._lost += event.size
                changed = {"lost": counts.lost + event.size}
            else:
                self._queue.append(event)
                changed = {"waiting": counts.waiting + event.size}
            self._counts = replace(counts, recorded=counts.recorded + event.size, **changed)

    def end(self, error: BaseException | None) -> None:
        """Write what is left, for some seconds at most, and note that the session has ended."""
        self.close("complete" if error is None else "failed")

    def close(self, status: SessionStatus, timeout: float = _END_SECONDS) -> bool:
        """End the session with a status, if it has not ended; return whether its thread has ended in time."""
        if os.getpid() != self._process:
            return True
        with self._guard:
            if self._status is None:
                self._status = (status, clock.utc_now())
        self._ending.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- in the thread that writes -----------------------------------------------------------------------------

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ending.wait(self._pause)
            try:
                self._collect(is_last=is_last)
                self._store()
                self._works()
            except Exception as error:  # the next turn tries again
                self._fails(error)
                self._set_aside()
        self._finish()

    def _collect(self, *, is_last: bool) -> None:
        """Make a batch of the events that wait. What comes after the last one is lost."""
        with self._guard:
            self._is_over = is_last
            events = list(self._queue)
            self._queue.clear()
            lost, self._lost = self._lost, 0
        if not events and not lost:
            return
        self._batches += 1
        size = sum(event.size for event in events)
        try:
            tables = self._rows.tables(events)
        except Exception:
            self._count(waiting=-size, lost=size)
            self._lost += size + lost
            self._rows.forget()
            raise
        rows = sum(map(len, tables.values()))
        self._count(waiting=rows - size, recorded=rows - size)
        self._pending.append((LiveBatch(self._batches, tables, lost), rows))

    def _store(self) -> None:
        """Write what is spooled and pending; without either, say now and then that the session runs."""
        is_due = self._name is None or monotonic() - self._last_write >= _HEARTBEAT_SECONDS
        if not self._pending and not self._counts.spooled and not is_due:
            return
        record = self._described()
        if self._name is None:
            self._name = self._sessions.begin(record)
            store_abandoned(self._sessions)
        batches: list[LiveBatch] = []
        if self._spool is not None and self._counts.spooled:
            self._sessions.append(record.session_id, [])  # raises before the spool is read in vain
            spooled = self._spool.read()
            batches += () if spooled is None else spooled.batches
        self._sessions.append(record.session_id, [*batches, *(batch for batch, _ in self._pending)])
        self._last_write = monotonic()
        if self._spool is not None:
            self._spool.remove()
        rows = sum(rows for _, rows in self._pending)
        self._pending.clear()
        self._count(waiting=-rows, written=rows + self._counts.spooled, spooled=-self._counts.spooled)

    def _set_aside(self) -> None:
        """Put what could not be written into the spool. If that fails, drop the oldest beyond the capacity."""
        try:
            record = self._described()
            if self._spool is None:
                self._spool = Spool(self._sessions.path, record.session_id)
            if self._pending:
                self._spool.append(record, [batch for batch, _ in self._pending])
                rows = sum(rows for _, rows in self._pending)
                self._pending.clear()
                self._count(waiting=-rows, spooled=rows)
        except Exception as error:
            self._fails(error)
            self._drop()

    def _drop(self) -> None:
        while self._pending and sum(rows for _, rows in self._pending) > self._capacity // 2:
            batch, rows = self._pending.pop(0)
            self._count(waiting=-rows, lost=rows)
            with self._guard:
                self._lost += rows + batch.lost
            self._rows.forget()

    def _finish(self) -> None:
        try:
            self._note_end(*(self._status or ("complete", clock.utc_now())))
        except Exception as error:
            self._fails(error)
        if self._spool is not None:
            self._spool.leave()
        rows = sum(rows for _, rows in self._pending)
        self._count(waiting=-rows, lost=rows)
        self._pending.clear()
        self._rows.forget()

    def _note_end(self, status: SessionStatus, ended: datetime) -> None:
        """Store how the session ended; while the results are in use, keep it for the next session to store."""
        record = self._described()
        if self._name is not None and not self._pending and not self._counts.spooled:
            try:
                self._sessions.finish(record.session_id, status, ended)
                return
            except StoreBusyError as error:
                self._fails(error)
        self._spool = self._spool or Spool(self._sessions.path, record.session_id)
        self._spool.end(record, status, ended)

    def _described(self) -> LiveSessionRecord:
        if self._record is None:
            self._record = self._describe()
        return self._record

    def _count(self, **changes: int) -> None:
        with self._guard:
            now = {name: getattr(self._counts, name) + change for name, change in changes.items()}
            self._counts = replace(self._counts, **now)

    def _warn_once_of_the_end(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("what the strategy did after its session had ended is not in %s", self._sessions.path)

    def _fails(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            logger.warning(
                "lumibot-duckdb cannot write this live session to %s and keeps its rows: %s", self._sessions.path, error
            )

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            logger.warning("lumibot-duckdb writes this live session again; %s rows are lost", f"{self._counts.lost:,}")


def store_abandoned(sessions: LiveSessions) -> int:
    """Store what sessions that have ended left in spools beside a results database; return how many there were.

    Raises as the methods of `LiveSessions`; a spool is removed when its contents are stored.
    """
    count = 0
    with abandoned_spools(sessions.path) as paths:
        for path in paths:
            try:
                spooled = read_spool(path)
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("%s is damaged and was left as it is: %s: %s", path, type(error).__name__, error)
                continue
            if spooled is not None:
                session_id = spooled.record.session_id
                sessions.begin(spooled.record)
                sessions.append(session_id, spooled.batches)
                sessions.finish(session_id, spooled.status or "interrupted", spooled.ended)
                count += 1
            path.unlink()
    return count
