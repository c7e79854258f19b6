"""The connection of this process to one store file, shared by its threads.

`StoreConnection` is what the storage works with: blocks that read, write or replace the store. The `Lease` decides
when the file is locked and attached, and the `StoreFile` does it.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

import duckdb

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.duckdb_errors import commit_failure, explained, is_fatal
from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.connection.interruption import check, deferred
from lumibot_duckdb.storage.connection.lease import Lease
from lumibot_duckdb.storage.connection.store_file import StoreFile
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError, StoreNotFoundError

logger = logging.getLogger(__name__)

# How long a fork, or the end of the interpreter, waits for operations in other threads.
_FORK_WAIT_SECONDS = 5.0


class _ThreadState(threading.local):
    """The blocks that a thread is inside of, on one store."""

    reads: int = 0
    read_generation: int = 0
    writer: StoreCursor | None = None
    excluding: bool = False


class StoreConnection:
    """The connection of this process to one store file. Get it from `StoreConnection.of`.

    Safe for use by many threads, across `fork`, and beside any number of other processes.
    """

    _shared: ClassVar[WeakValueDictionary[Path, StoreConnection]] = WeakValueDictionary()
    _shared_guard: ClassVar[threading.Lock] = threading.Lock()
    _numbers: ClassVar[Iterator[int]] = itertools.count(1)

    def __init__(self, path: Path, wait_seconds: float, idle_seconds: float) -> None:
        self.path = path
        self.wait_seconds = wait_seconds
        self._file = StoreFile(path, f"store_{next(self._numbers)}")
        self._lock = self._file.lock
        self._lease = Lease(self._file, self, idle_seconds)
        self._dirty_reads = itertools.count(-1, -1)
        self._sandbox_guard = threading.Lock()
        self._thread = _ThreadState()

    @classmethod
    def of(
        cls,
        path: Path,
        *,
        threads: int | None = None,
        memory_limit: str | None = None,
        wait_seconds: float = 30.0,
        idle_seconds: float = 2.0,
    ) -> StoreConnection:
        """Return this process's connection to the store at `path`: the same one for the same file.

        `threads` and `memory_limit` apply to the process's DuckDB instance, whichever store they were given for.
        `wait_seconds` (how long to wait for others) and `idle_seconds` (after how long an unused lease ends) are
        those of the first call for a path. Raises ValueError for unusable settings.
        """
        with deferred():
            Engine.configure(threads, memory_limit)
        real = Path(os.path.realpath(path))
        with cls._shared_guard:
            connection = cls._shared.get(real)
            if connection is None:
                connection = cls._shared[real] = cls(real, wait_seconds, idle_seconds)
            return connection

    def exists(self) -> bool:
        """Return whether there is a store. An interrupted program may leave an empty file, which is none."""
        return self._file.exists()

    def opens_at_once(self) -> bool:
        """Return whether a read need not fold the log of a writer, at work or killed, into the file first."""
        return self._lease.is_held or not self._file.is_unfinished()

    def generation(self) -> int:
        """Return a number that changes with every commit by any process. Takes microseconds.

        What was read in a `read()` block is current as long as this equals what it was inside that block. Inside a
        `write()` block it is a new number at every call, since nothing that was read there may be kept.
        """
        if self._thread.writer is not None:
            return next(self._dirty_reads)
        if self._thread.reads:
            return self._thread.read_generation
        if self._lock.exclusive and self._file.was_replaced():
            return next(self._dirty_reads)
        return self._lock.generation()

    # -- blocks ----------------------------------------------------------------------------------------------

    @contextmanager
    def read(self, wait_seconds: float | None = None) -> Iterator[StoreCursor]:
        """Yield a cursor for reading, under a shared lease. The whole block reads one state of the store.

        Many threads may read at once. Inside a `write()` block of the same thread, the cursor is that block's and
        sees what is not committed yet. `wait_seconds` is how long to wait for others, if not as usual.
        Raises `StoreNotFoundError`, `StoreBusyError`, `StoreDamagedError`.
        """
        mine = self._thread
        if mine.writer is not None:
            yield mine.writer
            return
        self._refuse_detached("read")
        if not self._lease.is_held and not self.exists():  # checked before the lock, which would create its files
            raise StoreNotFoundError(f"there is no store at {self.path}")
        with deferred(), self._lease.use(False, self._deadline(wait_seconds), nested=mine.reads > 0) as engine:
            if not mine.reads:
                mine.read_generation = self._lock.generation()
            duck = engine.cursor()
            cursor = StoreCursor(self._file.db, duck, in_transaction=bool(self._lock.exclusive))
            mine.reads += 1
            try:
                with explained(self.path, engine):
                    if cursor.in_transaction:
                        duck.begin()  # another thread may commit while this one reads
                    yield cursor
            finally:
                mine.reads -= 1
                cursor.close()

    @contextmanager
    def query(self, *, allow_files: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a DuckDB connection for a user's query, which can read the store and, with `allow_files`, other files.

        It cannot do anything else; see `Sandbox`. Writers wait until the block ends. Raises what `read()` raises, and
        RuntimeError inside a `read()` or `write()` block of the same thread.
        """
        self._refuse_nested("query")
        if not self._lease.is_held and not self.exists():
            raise StoreNotFoundError(f"there is no store at {self.path}")
        mine = self._thread
        with deferred(), self._lease.use(False, self._deadline(), only_shared=True) as engine:
            mine.reads += 1
            try:
                with self._sandbox_guard:
                    duck = self._file.sandbox(allow_files=allow_files).cursor()
                # Errors about other files say nothing about the store.
                with closing(duck), nullcontext() if allow_files else explained(self.path, engine):
                    yield duck
            finally:
                mine.reads -= 1

    @contextmanager
    def write(self, wait_seconds: float | None = None) -> Iterator[StoreCursor]:
        """Yield a cursor for one transaction: committed when the block ends, rolled back when it raises.

        Creates the store if there is none. Ctrl-C stops the running statement, and rolls back. `wait_seconds` is how
        long to wait for others, if not as usual.
        Raises `StoreBusyError`, `StoreDamagedError`, `StoreWriteError` (the disk is full or failed; the message says
        whether nothing was stored); and RuntimeError inside a `read()` or `write()` block of the same thread.
        """
        self._refuse_nested("write")
        mine = self._thread
        deadline = self._deadline(wait_seconds)
        with (
            deferred(),
            self._lease.turn_to_write(deadline),
            self._lease.use(True, deadline) as engine,
        ):
            duck = engine.cursor()
            cursor = StoreCursor(self._file.db, duck)
            mine.writer = cursor
            try:
                with explained(self.path, engine, outcome=f"nothing was stored in {self.path}"):
                    duck.begin()
                    yield cursor
                    cursor.check_process()
                    # A COMMIT after a failed statement rolls back silently; this statement raises instead.
                    duck.execute("SELECT 1")
                    self._file.refuse_if_replaced()
                    check()
                    # Counted before, so that no cache is trusted once the commit is visible; and after, for what
                    # threads of this process read in between.
                    self._lock.bump_generation()
                self._commit(duck, engine)
                self._file.note_growth()
                self._file.fold_long_log()
            finally:
                mine.writer = None
                cursor.close()

    def _commit(self, duck: duckdb.DuckDBPyConnection, engine: Engine) -> None:
        log_bytes = self._file.log_bytes()
        try:
            duck.commit()
        except duckdb.Error as error:
            rolled_back = self._file.log_bytes() == log_bytes
            # Else the log has a part of the transaction or all of it; attaching the file again shows which.
            engine.failed |= not rolled_back or is_fatal(error)
            raise commit_failure(self.path, error, rolled_back=rolled_back) from error
        finally:
            try:
                self._lock.bump_generation()
            except StorageError as error:
                logger.warning("every read of this process goes to the disk for now: %s", error)

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Keep the write lease over many `write()` blocks: others that wait get their turn between them, but later."""
        with self._lease.burst():
            yield

    @contextmanager
    def exclusive(self) -> Iterator[Path]:
        """Yield the path of the store, locked and detached and without a log: the block may replace the file.

        Nobody reads or writes meanwhile, threads of this process included. Creates the store if there is none.
        Raises as `write()` does.
        """
        self._refuse_nested("exclusive")
        mine = self._thread
        deadline = self._deadline()
        with (
            deferred(),
            self._lease.turn_to_write(deadline),
            self._lease.use(True, deadline),
            self._lease.detached(deadline),
        ):
            mine.excluding = True
            try:
                yield self.path
            finally:
                mine.excluding = False
                self._lock.bump_generation()

    @contextmanager
    def unchanging(self) -> Iterator[Path]:
        """Yield the path of the store, which nobody writes during the block: another DuckDB instance may read it.

        Other processes may read meanwhile; threads of this process wait. Raises as `read()` does.
        """
        self._refuse_nested("unchanging")
        if not self.exists():
            raise StoreNotFoundError(f"there is no store at {self.path}")
        mine = self._thread
        deadline = self._deadline()
        with (
            deferred(),
            self._lease.turn_to_write(deadline),
            self._lease.use(False, deadline, only_shared=True, in_turn=True),
            self._lease.detached(deadline),
        ):
            mine.excluding = True
            try:
                yield self.path
            finally:
                mine.excluding = False

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """Yield the path as `exclusive()` does, also if there is no store, or one that cannot be opened.

        Such a store may have a log and a guard beside it.
        """
        there = self.exists()
        with ExitStack() as block:
            try:
                path = block.enter_context(self.exclusive() if there else self._locked())
            except StoreBusyError:
                raise
            except (
                StorageError,
                duckdb.Error,
            ) as error:  # no other program has the file open: DuckDB would report that first
                logger.info("replacing %s, which cannot be opened: %s", self.path, error)
                path = block.enter_context(self._locked())
            yield path

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """Yield the path of the store, locked against everybody else, and never opened."""
        self._refuse_nested("replacing")
        mine = self._thread
        deadline = self._deadline()
        with deferred(), self._lease.turn_to_write(deadline), self._lease.locked(deadline):
            mine.excluding = True
            try:
                yield self.path
            finally:
                mine.excluding = False
                self._lock.bump_generation()

    def close(self) -> None:
        """Release the file as soon as operations of other threads end. The connection may be used again later."""
        self._refuse_nested("close")
        with deferred():
            self._lease.release(self._deadline())

    def _deadline(self, wait_seconds: float | None = None) -> float:
        return time.monotonic() + (self.wait_seconds if wait_seconds is None else wait_seconds)

    def _refuse_nested(self, what: str) -> None:
        self._refuse_detached(what)
        if self._thread.reads or self._thread.writer is not None:
            block = "read" if self._thread.reads else "write"
            raise RuntimeError(f"{what}() inside a {block}() block of the same thread: leave that block first")

    def _refuse_detached(self, what: str) -> None:
        if self._thread.excluding:
            raise RuntimeError(f"{what}() inside an exclusive() block of the same thread: the file is detached there")

    # -- forks and the end of the interpreter ----------------------------------------------------------------

    def _hold_for_fork(self) -> bool:
        mine = self._thread
        in_block = mine.reads > 0 or mine.writer is not None or mine.excluding
        return self._lease.hold_for_fork(in_block, time.monotonic() + _FORK_WAIT_SECONDS)

    def _forget(self) -> None:
        self._lease.forget()
        self._sandbox_guard = threading.Lock()
        self._thread = _ThreadState()

    @classmethod
    def _before_fork(cls) -> None:
        cls._shared_guard.acquire()
        in_use = [connection._hold_for_fork() for connection in list(cls._shared.values())]
        Engine.hold_for_fork(idle=not any(in_use))

    @classmethod
    def _after_fork_in_parent(cls) -> None:
        Engine.resume_after_fork()
        for connection in list(cls._shared.values()):
            connection._lease.resume_after_fork()
        cls._shared_guard.release()

    @classmethod
    def _after_fork_in_child(cls) -> None:
        Engine.forget()
        for connection in list(cls._shared.values()):
            connection._forget()
        cls._shared_guard = threading.Lock()

    @classmethod
    def _close_all(cls) -> None:
        """At the end of the interpreter: leave no lock and no log."""
        for connection in list(cls._shared.values()):
            with suppress(StorageError, duckdb.Error):
                connection._lease.release(time.monotonic() + _FORK_WAIT_SECONDS)
        Engine.close_current()


atexit.register(StoreConnection._close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=StoreConnection._before_fork,
        after_in_parent=StoreConnection._after_fork_in_parent,
        after_in_child=StoreConnection._after_fork_in_child,
    )
