"""The lease: a stretch of time for which this process has the store's file locked and attached.

A lease is shared, with the file attached read-only, or exclusive, with the file attached for writing. The threads of
the process use it together. It ends when it has been idle for a while, or when another process is waiting.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb

from lumibot_duckdb.storage.connection import interruption, wait_notice
from lumibot_duckdb.storage.connection.duckdb_errors import HeldElsewhereError
from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.connection.store_file import StoreFile
from lumibot_duckdb.storage.connection.wait_notice import WaitNotice
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError

# Attaching and detaching takes a few milliseconds. So a lease that is in use lasts this long even if others wait; in a
# burst, longer.
_TURN_SECONDS = 0.02
_BURST_TURN_SECONDS = 0.1
# How often a holder checks whether others wait: at most this often while it works, and less and less often while idle.
_CHECK_SECONDS = 0.002
_LONGEST_CHECK_SECONDS = 0.02
# Between attempts at a file that is open in a program which does not use our lock.
_FOREIGN_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2)


class Lease:
    """The lease of one store file, shared by the threads of this process.

    `owner` stays alive for as long as the file is attached.
    """

    def __init__(self, file: StoreFile, owner: object, idle_seconds: float) -> None:
        self._file = file
        self._owner = weakref.ref(owner)
        self._idle_seconds = idle_seconds
        self._forked_in_use = False
        self._reset()

    def _reset(self) -> None:
        """Hold nothing, as at first."""
        self._changed = threading.Condition(threading.Lock())  # guards everything below
        self._waiting = 0  # threads that wait for a change
        self._engine: Engine | None = None  # where the file is attached, while it is
        self._users = 0  # operations inside the lease
        self._moving = False  # a thread is taking the lease, or has the file detached under the lock
        self._draining = False  # nobody may join the lease any more
        self._writers: deque[object] = deque()  # threads that write or want to, in order
        self._writer_paused = False  # the first of them is waiting, and lets readers pass
        self._bursts = 0
        self._since = self._last_used = self._last_check = 0.0
        self._janitor: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        """Whether the file is attached."""
        return self._engine is not None

    # -- operations ------------------------------------------------------------------------------------------

    @contextmanager
    def turn_to_write(self, deadline: float) -> Iterator[None]:
        """Queue up with the other threads that write: one at a time, in order."""
        pid, ticket = os.getpid(), object()
        with self._changed:
            self._writers.append(ticket)
        try:
            with self._changed:
                while self._writers[0] is not ticket:
                    self._wait(deadline)
            yield
        finally:
            if os.getpid() == pid:
                with self._changed:
                    self._writers.remove(ticket)
                    self._notify()

    @contextmanager
    def use(
        self,
        exclusive: bool,
        deadline: float,
        *,
        nested: bool = False,
        only_shared: bool = False,
        in_turn: bool = False,
    ) -> Iterator[Engine]:
        """Use the lease, and take it first if need be; an exclusive one serves for reading too, unless `only_shared`.

        `nested` is an operation inside another one of the same thread, which never waits. `in_turn` is one that reads
        when it is the thread's turn to write.
        """
        engine = self._join(exclusive, deadline, nested, only_shared, in_turn)
        pid = os.getpid()
        try:
            yield engine
        finally:
            if os.getpid() == pid:
                self._leave()

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Keep an exclusive lease for longer than usual when others wait."""
        with self._changed:
            self._bursts += 1
        try:
            yield
        finally:
            with self._changed:
                self._bursts -= 1

    @contextmanager
    def detached(self, deadline: float) -> Iterator[None]:
        """Inside a `use` in the thread's turn to write: wait to be the only user, then keep the lock but not the file.

        If the lock is exclusive, the file has no log then.
        """
        with self._changed:
            self._draining = True
            try:
                while self._users > 1:
                    self._wait(deadline)
            finally:
                self._draining = False
            self._moving = True
        try:
            if self._file.lock.exclusive:
                self._file.checkpoint()
            self._engine = None
            self._file.detach()
            yield
        finally:
            with self._changed:
                self._moving = False
                self._end()

    @contextmanager
    def locked(self, deadline: float) -> Iterator[None]:
        """In the thread's turn to write: hold the exclusive lock without opening the file."""
        with self._changed:
            self._end_when_unused(deadline)
            self._moving = True
        try:
            self._file.lock.acquire(True, deadline)
            yield
        finally:
            self._file.lock.release()
            with self._changed:
                self._moving = False
                self._notify()

    def release(self, deadline: float) -> None:
        """End the lease when its users have left, and close the lock files."""
        with self._changed:
            self._end_when_unused(deadline)
            self._file.lock.close()

    def _end_when_unused(self, deadline: float) -> None:
        while self._engine is not None or self._moving:
            self._draining = self._engine is not None
            if self._moving or self._users:
                self._wait(deadline)
            else:
                self._end()

    # -- joining and leaving ---------------------------------------------------------------------------------

    def _join(self, exclusive: bool, deadline: float, nested: bool, only_shared: bool, in_turn: bool) -> Engine:
        pauses = itertools.chain(_FOREIGN_PAUSES, itertools.repeat(_FOREIGN_PAUSES[-1]))
        ended = False  # an exclusive lease, for a shared one: writers that queue must not take it back first
        notice: WaitNotice | None = None
        with self._changed:
            while not nested:
                is_shared = not self._file.lock.exclusive
                queues = not (exclusive or in_turn or self._writer_paused or ended)
                behind_writer = queues and is_shared and self._writers
                if self._moving or self._draining or behind_writer:
                    self._wait(deadline)
                elif self._engine is None:
                    try:
                        self._take(exclusive, deadline)
                    except HeldElsewhereError as held:
                        if time.monotonic() >= deadline:
                            raise StoreBusyError(str(held)) from held
                        notice = notice or WaitNotice(wait_notice.FOR_A_PROGRAM, deadline)
                        notice.look(held.cause)
                        self._pause(next(pauses), exclusive)
                elif (
                    (is_shared if exclusive else only_shared and not is_shared)
                    or self._is_stale()
                    or self._should_yield()
                ):
                    ended |= only_shared
                    self._draining = True
                    if not self._users:
                        self._end()
                else:
                    break
            self._users += 1
            assert self._engine is not None
            return self._engine

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            self._last_used = time.monotonic()
            if not self._users and (self._draining or self._should_yield()):
                self._end()
            elif self._janitor is None and self._engine is not None:
                self._start_janitor()
            self._notify()

    def _start_janitor(self) -> None:
        self._janitor = threading.Thread(
            target=self._end_when_idle, args=(self._owner(),), name=f"lease of {self._file.path.name}", daemon=True
        )
        try:
            self._janitor.start()
        except RuntimeError:  # the interpreter ends, or there are too many threads: nobody would end the lease later
            self._janitor = None
            if not self._users:
                self._end()

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise StoreBusyError(f"{self._file.path} is busy: other threads of this process are still working on it")
        self._waiting += 1
        try:
            self._changed.wait(min(left, interruption.LOOK_SECONDS))
        finally:
            self._waiting -= 1
        interruption.check()

    def _pause(self, seconds: float, writer: bool) -> None:
        """Wait before another attempt at a file that another program has open, which may let readers in meanwhile."""
        end = time.monotonic() + seconds
        self._writer_paused |= writer
        self._notify()
        try:
            while (left := end - time.monotonic()) > 0:
                self._changed.wait(min(left, interruption.LOOK_SECONDS))
                interruption.check()
        finally:
            if writer:
                self._writer_paused = False

    def _notify(self) -> None:
        if self._waiting:
            self._changed.notify_all()

    # -- taking and ending -----------------------------------------------------------------------------------

    def _take(self, exclusive: bool, deadline: float) -> None:
        """Take the lease. The guard is not held meanwhile; other threads see that it is `_moving`."""
        self._moving = True
        self._changed.release()
        engine = None
        try:
            engine = self._open(exclusive, deadline)
        finally:
            self._changed.acquire()
            self._engine = engine
            self._moving = False
            self._since = self._last_used = time.monotonic()
            self._notify()

    def _open(self, exclusive: bool, deadline: float) -> Engine:
        if self._forked_in_use:
            raise StorageError(
                f"{self._file.path} cannot be used in this process: it was forked while another thread, or the code "
                "around the fork, was inside a read() or write() block. Fork outside of them, or use the spawn start "
                "method."
            )
        return self._file.open(exclusive, deadline)

    def _end(self) -> None:
        """Detach the file and release the lock."""
        try:
            self._engine = None
            self._file.close()
        finally:
            self._draining = False
            self._notify()

    def _is_stale(self) -> bool:
        """Return whether the file at the path is another one by now, or the DuckDB instance has failed."""
        return self._engine is None or self._engine.failed or self._file.was_replaced()

    def _should_yield(self) -> bool:
        """Return whether a lease that is in use has lasted long enough, and another process waits."""
        now = time.monotonic()
        turn = _BURST_TURN_SECONDS if self._bursts > 0 else _TURN_SECONDS
        if now - self._since < turn or now - self._last_check < _CHECK_SECONDS:
            return False
        self._last_check = now
        return self._file.lock.is_wanted()

    def _is_idle_over(self) -> bool:
        """Return whether a lease that is not in use has been idle long enough, or another process waits."""
        if self._users or self._moving:
            return False
        idle = time.monotonic() - self._last_used
        if self._bursts > 0 and time.monotonic() - self._since < _BURST_TURN_SECONDS:
            return False
        return idle >= self._idle_seconds or (idle >= _CHECK_SECONDS and self._file.lock.is_wanted())

    def _end_when_idle(self, owner: object) -> None:
        """End the lease when it idles, or when another process waits while nobody here uses it. Runs in a thread.

        `owner` is a parameter so that the thread keeps it alive.
        """
        pause = _CHECK_SECONDS
        with self._changed:
            try:
                while self._engine is not None or self._moving:
                    if self._is_idle_over():
                        self._end()
                    else:
                        used = self._last_used
                        self._changed.wait(pause)
                        pause = min(pause * 1.5, _LONGEST_CHECK_SECONDS) if used == self._last_used else _CHECK_SECONDS
            finally:
                self._janitor = None

    # -- forks -----------------------------------------------------------------------------------------------

    def hold_for_fork(self, in_block: bool, deadline: float) -> bool:
        """In the parent: release the lease and pause, so that the child inherits no unfinished work.

        DuckDB keeps a list of the files that the process has attached for writing; what a child inherits of it never
        goes away. `in_block` is whether the forking thread is inside an operation. Return whether the lease is still
        held: the child cannot use the store then.
        """
        if not in_block:
            with suppress(StorageError, duckdb.Error):
                self.release(deadline)
        self._changed.acquire()
        self._forked_in_use = self._engine is not None or self._moving
        return self._forked_in_use

    def resume_after_fork(self) -> None:
        """In the parent, after a fork."""
        self._forked_in_use = False
        self._changed.release()

    def forget(self) -> None:
        """In the child: hold nothing, and leave everything of the parent's alone."""
        self._file.forget()
        self._reset()
