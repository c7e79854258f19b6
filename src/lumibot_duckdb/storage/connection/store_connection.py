"""The leased connection of this process to one store file.

The file is attached to the process's DuckDB instance while there is work on it, under the lock between processes (see
`locking`), and let go of when it idles or when another process waits. Such a stretch is a *lease*: shared, with the
file attached read-only, or exclusive, with the file attached for writing. The threads of the process share it.

The live file is opened by DuckDB alone. Another descriptor on it, opened and closed in this process, would drop the
lock that DuckDB holds against other programs.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias
from weakref import WeakValueDictionary

import duckdb

from lumibot_duckdb.storage.connection.checkpoint_guard import CheckpointGuard
from lumibot_duckdb.storage.connection.engine import NEW_FILE, Engine, attach, leak
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.errors import (
    StorageError,
    StoreBusyError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreVersionError,
    StoreWriteError,
)

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

Parameters: TypeAlias = "Sequence[Any] | Mapping[str, Any] | None"

# As much as DuckDB lets its log grow; it is told to leave checkpoints to us, who guard them.
_LONG_LOG_BYTES = 16 * 2**20

# A lease costs a few milliseconds of attaching and detaching, so one that is in use lasts this long even when others
# wait; in a burst, longer.
_TURN_SECONDS = 0.02
_BURST_TURN_SECONDS = 0.1
# How often a holder looks whether others wait: at most so often while it works; while it idles, less and less often.
_LOOK_SECONDS = 0.002
_LONGEST_LOOK_SECONDS = 0.02
# Between attempts at a file that is open in a program which does not know our lock.
_FOREIGN_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2)
# How long a fork, or the end of the interpreter, waits for operations in other threads.
_PATIENCE_SECONDS = 5.0


class StoreCursor:
    """What runs SQL on the store inside a `read()` or `write()` block. For the thread that entered the block.

    After a statement that failed, the block is to be left: DuckDB accepts no other in the same transaction.
    `db` is the name under which the store is attached; in SQL text, `{db}` stands for it.
    """

    def __init__(self, db: str, duck: duckdb.DuckDBPyConnection) -> None:
        self.db = db
        self._duck = duck
        self._pid = os.getpid()
        self._registered: set[str] = set()

    def execute(self, sql: str, parameters: Parameters = None) -> duckdb.DuckDBPyConnection:
        """Run SQL. Fetch the result before the next call and before the block ends; take no batch reader from it."""
        self._check_process()
        text = sql.replace("{db}", self.db)
        return self._duck.execute(text) if parameters is None else self._duck.execute(text, parameters)

    def arrow(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """Run a query and return its whole result as an Arrow table."""
        self._check_process()
        return self._duck.sql(sql.replace("{db}", self.db), params=parameters).to_arrow_table()

    def rows(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """Run SQL and return its whole result as tuples."""
        return self.execute(sql, parameters).fetchall()

    def register(self, name: str, table: pa.Table) -> None:
        """Let SQL on this cursor see an Arrow table under `name`, until the block ends."""
        self._check_process()
        self._duck.register(name, table)
        self._registered.add(name)

    def unregister(self, name: str) -> None:
        """Take a registered table back."""
        self._duck.unregister(name)
        self._registered.discard(name)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("this cursor belongs to the process that was forked; open a block of your own")

    def _close(self) -> None:
        """Give up what the block did not finish: results, registered tables, an open transaction."""
        if os.getpid() != self._pid:
            leak(self._duck)
            return
        for name in tuple(self._registered):
            with suppress(duckdb.Error):
                self.unregister(name)
        self._duck.close()


class _ThreadState(threading.local):
    """What a thread is in the middle of, on one store."""

    reads: int = 0
    read_generation: int = 0
    writer: StoreCursor | None = None
    excluding: bool = False


class StoreConnection:
    """The leased connection of this process to one store file. Get it from `StoreConnection.of`.

    Safe for use by many threads, across `fork`, and beside any number of other processes.
    """

    _shared: ClassVar[WeakValueDictionary[Path, StoreConnection]] = WeakValueDictionary()
    _shared_guard: ClassVar[threading.Lock] = threading.Lock()
    _numbers: ClassVar[Iterator[int]] = itertools.count(1)

    def __init__(self, path: Path, wait_seconds: float, idle_seconds: float) -> None:
        self.path = path
        self.wait_seconds = wait_seconds
        self.idle_seconds = idle_seconds
        self._db = f"store_{next(self._numbers)}"
        self._wal = path.with_name(path.name + ".wal")
        self._guard = CheckpointGuard(path)
        self._watched: int | None = None  # the file, open for reading from before it is attached until after
        self._lock = StoreLock(path)
        self._dirty_reads = itertools.count(-1, -1)
        self._forked_in_use = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Be a connection that holds nothing."""
        self._thread = _ThreadState()
        self._changed = threading.Condition(threading.Lock())  # guards everything below
        self._waiting = 0  # threads that wait for a change
        self._engine: Engine | None = None  # where the file is attached, while it is
        self._attached_file: tuple[int, int] | None = None
        self._users = 0  # operations inside the lease
        self._moving = False  # a thread is taking the lease, or has the file detached under the lock
        self._draining = False  # nobody may join the lease any more
        self._writers: deque[object] = deque()  # threads that write or want to, in order
        self._writer_paused = False  # the first of them is not to be waited for by readers now
        self._bursts = 0
        self._since = self._last_used = self._last_look = 0.0
        self._janitor: threading.Thread | None = None

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
        Engine.configure(threads, memory_limit)
        real = Path(os.path.realpath(path))
        with cls._shared_guard:
            connection = cls._shared.get(real)
            if connection is None:
                connection = cls._shared[real] = cls(real, wait_seconds, idle_seconds)
            return connection

    def exists(self) -> bool:
        """Tell whether there is a store. An empty file, as an interrupted program may leave it, is none."""
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"cannot look for a store at {self.path}: {error.strerror}") from error

    def generation(self) -> int:
        """Return a number that is another one after every commit by any process. Takes microseconds.

        What was read in a `read()` block is current as long as this equals what it was inside that block. Inside a
        `write()` block it is a new number at every call, since nothing that was read there may be kept.
        """
        if self._thread.writer is not None:
            return next(self._dirty_reads)
        if self._thread.reads:
            return self._thread.read_generation
        return self._lock.generation()

    # -- operations ------------------------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[StoreCursor]:
        """Give a cursor for reading, under a shared lease; all that the block reads is one state of the store.

        Many threads may read at once. Inside a `write()` block of the same thread, the cursor is that block's and
        sees what is not committed yet.
        Raises `StoreNotFoundError`, `StoreBusyError`, `StoreDamagedError`.
        """
        mine = self._thread
        if mine.writer is not None:
            yield mine.writer
            return
        self._refuse_detached("read")
        if self._engine is None and not self.exists():  # looked at before the lock, which would make its files
            raise StoreNotFoundError(f"there is no store at {self.path}")
        with self._lease(exclusive=False, deadline=self._deadline()) as engine:
            if not mine.reads:
                mine.read_generation = self._lock.generation()
            duck = engine.cursor()
            cursor = StoreCursor(self._db, duck)
            mine.reads += 1
            try:
                with self._explained(engine):
                    if self._lock.exclusive:
                        duck.begin()  # another thread may commit while this one reads
                    yield cursor
            finally:
                mine.reads -= 1
                cursor._close()

    @contextmanager
    def write(self) -> Iterator[StoreCursor]:
        """Give a cursor for one transaction: committed when the block ends, rolled back when it raises.

        Makes the store when there is none. Raises `StoreBusyError`, `StoreDamagedError`, `StoreWriteError` (the disk
        is full: nothing was stored); and RuntimeError inside a `read()` or `write()` block of the same thread.
        """
        self._refuse_nested("write")
        mine = self._thread
        deadline = self._deadline()
        with self._turn_to_write(deadline), self._lease(exclusive=True, deadline=deadline) as engine:
            duck = engine.cursor()
            cursor = StoreCursor(self._db, duck)
            mine.writer = cursor
            try:
                with self._explained(engine):
                    duck.begin()
                    yield cursor
                    cursor._check_process()
                    # A COMMIT after a failed statement rolls back without a word; this speaks up instead.
                    duck.execute("SELECT 1")
                    # Counted before, so that no cache is still believed once the commit shows; and after, for what
                    # threads of this process read in between.
                    self._lock.bump_generation()
                    duck.commit()
                    self._lock.bump_generation()
                self._fold_long_log()
            finally:
                mine.writer = None
                cursor._close()

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Keep the write lease over many `write()` blocks: others that wait get their turn between them, but later."""
        with self._changed:
            self._bursts += 1
        try:
            yield
        finally:
            with self._changed:
                self._bursts -= 1

    @contextmanager
    def exclusive(self) -> Iterator[Path]:
        """Give the path of the store, locked and detached and without a log: the block may replace the file.

        Nobody reads or writes meanwhile, threads of this process included. Makes the store when there is none.
        Raises as `write()` does.
        """
        self._refuse_nested("exclusive")
        mine = self._thread
        deadline = self._deadline()
        with self._turn_to_write(deadline), self._lease(exclusive=True, deadline=deadline), self._detached(deadline):
            mine.excluding = True
            try:
                yield self.path
            finally:
                mine.excluding = False
                self._lock.bump_generation()

    def close(self) -> None:
        """Let go of the file, as soon as operations of other threads end. The connection may be used again later."""
        self._refuse_nested("close")
        self._release(self._deadline())

    # -- what operations are made of -------------------------------------------------------------------------

    def _deadline(self) -> float:
        return time.monotonic() + self.wait_seconds

    def _refuse_nested(self, what: str) -> None:
        self._refuse_detached(what)
        if self._thread.reads or self._thread.writer is not None:
            block = "read" if self._thread.reads else "write"
            raise RuntimeError(f"{what}() inside a {block}() block of the same thread: leave that block first")

    def _refuse_detached(self, what: str) -> None:
        if self._thread.excluding:
            raise RuntimeError(f"{what}() inside an exclusive() block of the same thread: the file is detached there")

    @contextmanager
    def _turn_to_write(self, deadline: float) -> Iterator[None]:
        """Line up with the other threads that write: one at a time, in order."""
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
                    self._tell()

    @contextmanager
    def _lease(self, exclusive: bool, deadline: float) -> Iterator[Engine]:
        """Be a user of the lease, which is taken if need be; an exclusive one serves for reading too."""
        engine = self._join(exclusive, deadline)
        pid = os.getpid()
        try:
            yield engine
        finally:
            if os.getpid() == pid:
                self._leave()

    def _join(self, exclusive: bool, deadline: float) -> Engine:
        nested = self._thread.reads > 0
        pauses = itertools.chain(_FOREIGN_PAUSES, itertools.repeat(_FOREIGN_PAUSES[-1]))
        with self._changed:
            while not nested:
                shared_only = not self._lock.exclusive
                behind_writer = not exclusive and shared_only and self._writers and not self._writer_paused
                if self._moving or self._draining or behind_writer:
                    self._wait(deadline)
                elif self._engine is None:
                    try:
                        self._take(exclusive, deadline)
                    except _HeldElsewhereError as held:
                        if time.monotonic() >= deadline:
                            raise StoreBusyError(str(held)) from held
                        self._pause(next(pauses), exclusive)
                elif (exclusive and shared_only) or self._is_stale() or self._is_turn_over():
                    self._draining = True
                    if not self._users:
                        self._let_go()
                else:
                    break
            self._users += 1
            assert self._engine is not None
            return self._engine

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            self._last_used = time.monotonic()
            if not self._users and (self._draining or self._is_turn_over()):
                self._let_go()
            elif self._janitor is None and self._engine is not None:
                self._janitor = threading.Thread(target=self._tidy, name=f"lease of {self.path.name}", daemon=True)
                self._janitor.start()
            self._tell()

    @contextmanager
    def _detached(self, deadline: float) -> Iterator[None]:
        """As the writing user of the lease: wait until one is the only user, and keep the lock but not the file."""
        with self._changed:
            self._draining = True
            try:
                while self._users > 1:
                    self._wait(deadline)
            finally:
                self._draining = False
            self._moving = True
        try:
            self._checkpoint()
            self._detach()
            yield
        finally:
            with self._changed:
                self._moving = False
                self._let_go()

    @contextmanager
    def _explained(self, engine: Engine) -> Iterator[None]:
        """Turn what DuckDB says of the file or the disk into errors of this package; other errors pass."""
        try:
            yield
        except duckdb.Error as error:
            explained = _explain(self.path, error)
            if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
                engine.failed = True
            if explained is None:
                raise
            raise explained from error

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise StoreBusyError(
                f"{self.path} is busy: other threads of this process work on it, and have not finished"
            )
        self._waiting += 1
        try:
            self._changed.wait(left)
        finally:
            self._waiting -= 1

    def _pause(self, seconds: float, writer: bool) -> None:
        """Wait before another attempt at a file that another program has open, which may let readers in meanwhile."""
        end = time.monotonic() + seconds
        self._writer_paused |= writer
        self._tell()
        try:
            while (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
        finally:
            if writer:
                self._writer_paused = False

    def _tell(self) -> None:
        if self._waiting:
            self._changed.notify_all()

    # -- the lease -------------------------------------------------------------------------------------------

    def _is_stale(self) -> bool:
        """Tell whether the lease is on a file that is not at the path any more, or on a failed DuckDB instance."""
        return self._engine is None or self._engine.failed or self._attached_file != _file_at(self.path)

    def _is_turn_over(self) -> bool:
        """Tell whether a lease that is in use lasted long enough, and another process waits."""
        now = time.monotonic()
        turn = _BURST_TURN_SECONDS if self._bursts > 0 else _TURN_SECONDS
        if now - self._since < turn or now - self._last_look < _LOOK_SECONDS:
            return False
        self._last_look = now
        return self._lock.is_wanted()

    def _is_idle_over(self) -> bool:
        """Tell whether a lease that is not in use has idled long enough, or another process waits."""
        if self._users or self._moving:
            return False
        idle = time.monotonic() - self._last_used
        if self._bursts > 0 and time.monotonic() - self._since < _BURST_TURN_SECONDS:
            return False
        return idle >= self.idle_seconds or (idle >= _LOOK_SECONDS and self._lock.is_wanted())

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
            self._tell()

    def _let_go(self) -> None:
        """End the lease: detach the file and give the lock back."""
        try:
            if self._lock.exclusive and self._engine is not None:
                try:
                    self._checkpoint()
                except (duckdb.Error, StorageError) as error:
                    # Everything is committed, in the log beside the file. Whoever opens the store next tries again.
                    logger.warning("could not fold the log into %s: %s", self.path, error)
            self._detach()
        finally:
            self._lock.release()
            self._draining = False
            self._tell()

    def _release(self, deadline: float) -> None:
        """End the lease when its users have left, and close the lock files."""
        with self._changed:
            while self._engine is not None or self._moving:
                self._draining = self._engine is not None
                if self._moving or self._users:
                    self._wait(deadline)
                else:
                    self._let_go()
            self._lock.close()

    def _open(self, exclusive: bool, deadline: float) -> Engine:
        """Lock the store between processes and attach the file."""
        if self._forked_in_use:
            raise StorageError(
                f"{self.path} cannot be used in this process: it was forked while another thread, or the code around "
                "the fork, was inside a read() or write() block. Fork outside of them, or use the spawn start method."
            )
        try:
            self._lock.acquire(exclusive, deadline)
            if not exclusive and (self._wal.exists() or self._guard.exists()):
                # Nobody writes now, so a killed writer left it.
                self._lock.release()
                self._recover(deadline)
                self._lock.acquire(exclusive, deadline)
            return self._attach(exclusive)
        except BaseException:
            self._lock.release()
            raise

    def _attach(self, exclusive: bool) -> Engine:
        if not self.exists():
            if not exclusive:
                raise StoreNotFoundError(f"there is no store at {self.path}")
            self._create()
        if exclusive:
            self._guard.restore()
            # Opened before and closed after DuckDB has the file: closing it in between would drop DuckDB's lock.
            self._watched = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        engine = Engine.current()
        try:
            self._run_attach(engine, self.path, "READ_WRITE" if exclusive else "READ_ONLY")
        except BaseException:
            self._unwatch()
            raise
        engine.attached += 1
        self._attached_file = _file_at(self.path)
        return engine

    def _recover(self, deadline: float) -> None:
        """Fold the log of a killed writer into the file.

        Where the disk has no room for that, the log stays, and readers read the file together with it.
        """
        self._lock.acquire(True, deadline)
        try:
            if (self._wal.exists() or self._guard.exists()) and self.exists():
                self._engine = self._attach(exclusive=True)
                try:
                    self._checkpoint()
                except StoreWriteError as error:
                    logger.warning("could not fold the log into %s: %s", self.path, error)
                finally:
                    self._detach()
        finally:
            self._lock.release()

    def _create(self) -> None:
        """Make an empty store: under another name first, so that a file at the path is always a whole one."""
        unfinished = self.path.with_name(self.path.name + ".creating")
        left_over = (unfinished, unfinished.with_name(unfinished.name + ".wal"), self._wal)
        engine = Engine.current()
        try:
            for file in left_over:
                file.unlink(missing_ok=True)
            self._run_attach(engine, unfinished, NEW_FILE)
            self._run_detach(engine)
            unfinished.replace(self.path)
        except OSError as error:
            raise StoreWriteError(f"cannot make a store at {self.path}: {error.strerror}") from error

    def _checkpoint(self) -> None:
        """Fold the log into the file, so guarded that dying in the middle of it does no harm."""
        assert self._engine is not None
        with self._explained(self._engine), self._engine.cursor() as duck:
            if self._wal.exists():
                self._set_guard(duck)
            duck.execute(f"CHECKPOINT {self._db}")
        self._guard.clear()

    def _set_guard(self, duck: duckdb.DuckDBPyConnection) -> None:
        assert self._watched is not None
        blocks = duck.execute(f"SELECT block_id FROM pragma_metadata_info('{self._db}')").fetchall()
        # Without parameters: on DuckDB 1.5 the first query of a process that has some imports pandas.
        size = f"SELECT block_size FROM pragma_database_size() WHERE database_name = '{self._db}'"
        ((block_size,),) = duck.execute(size).fetchall()
        try:
            self._guard.set(self._watched, block_size, [block for (block,) in blocks])
        except OSError as error:
            raise StoreWriteError(f"cannot copy what a checkpoint of {self.path} rewrites: {error.strerror}") from error

    def _fold_long_log(self) -> None:
        """Checkpoint in the middle of a lease, as DuckDB would by itself: without it a long lease's log has no end."""
        try:
            if self._wal.exists() and self._wal.stat().st_size > _LONG_LOG_BYTES:
                self._checkpoint()
        except (duckdb.Error, StorageError, FileNotFoundError) as error:
            logger.warning("could not fold the log into %s yet: %s", self.path, error)

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            os.close(watched)

    def _detach(self) -> None:
        engine, self._engine = self._engine, None
        if engine is None:
            return
        engine.attached -= 1
        try:
            self._run_detach(engine)
        except duckdb.Error as error:
            # A failed instance does not detach; closing it does.
            engine.failed = True
            logger.warning("could not detach %s: %s", self.path, error)
        engine.close_if_failed()
        self._unwatch()

    def _run_attach(self, engine: Engine, path: Path, options: str) -> None:
        try:
            with engine.cursor() as duck:
                attach(duck, path, self._db, options)
        except duckdb.Error as error:
            raise _explain_attach(self.path, error) from error
        except BaseException:
            with suppress(duckdb.Error):  # interrupted: it may be attached or not
                self._run_detach(engine)
            raise

    def _run_detach(self, engine: Engine) -> None:
        with engine.cursor() as duck:
            duck.execute(f"DETACH {self._db}")

    def _tidy(self) -> None:
        """End the lease when it idles, or when another process waits while nobody here uses it. Runs in a thread."""
        pause = _LOOK_SECONDS
        with self._changed:
            try:
                while self._engine is not None or self._moving:
                    if self._is_idle_over():
                        self._let_go()
                    else:
                        used = self._last_used
                        self._changed.wait(pause)
                        pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS) if used == self._last_used else _LOOK_SECONDS
            finally:
                self._janitor = None

    # -- forks and the end -----------------------------------------------------------------------------------

    def _hold_for_fork(self) -> None:
        """In the parent: let go of the file and stand still, so that the child inherits nothing half done.

        DuckDB keeps a list of the files that the process has attached for writing. What a child inherits of it never
        goes away.
        """
        mine = self._thread
        if not (mine.reads or mine.writer is not None or mine.excluding):
            with suppress(StorageError, duckdb.Error):
                self._release(time.monotonic() + _PATIENCE_SECONDS)
        self._changed.acquire()
        self._forked_in_use = self._engine is not None or self._moving

    def _go_on_after_fork(self) -> None:
        self._forked_in_use = False
        self._changed.release()

    def _forget(self) -> None:
        """In the child: hold nothing, and leave everything of the parent's alone."""
        if self._engine is not None:
            leak(self._engine)
        self._lock.forget()
        self._unwatch()
        self._begin_anew()

    @classmethod
    def _before_fork(cls) -> None:
        cls._shared_guard.acquire()
        connections = list(cls._shared.values())
        for connection in connections:
            connection._hold_for_fork()
        Engine.hold_for_fork(idle=not any(connection._forked_in_use for connection in connections))

    @classmethod
    def _after_fork_in_parent(cls) -> None:
        Engine.go_on_after_fork()
        for connection in list(cls._shared.values()):
            connection._go_on_after_fork()
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
                connection._release(time.monotonic() + _PATIENCE_SECONDS)
        Engine.close_current()


atexit.register(StoreConnection._close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=StoreConnection._before_fork,
        after_in_parent=StoreConnection._after_fork_in_parent,
        after_in_child=StoreConnection._after_fork_in_child,
    )


def _file_at(path: Path) -> tuple[int, int] | None:
    """Return which file is at a path: its device and its number there; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class _HeldElsewhereError(Exception):
    """The file is open in a program that does not know our lock."""


_CONFLICT = re.compile(r"Conflicting lock is held in (?P<name>.*?) \(PID (?P<pid>\d+)\)")
_DISK_FAILURES = ("No space left on device", "File too large", "quota exceeded", "Could not write", "fsync")
_DAMAGE = (
    "not a valid DuckDB database file",
    "Could not read enough bytes from file",
    "Corrupt database file",
    "Failure while replaying WAL",
)


def _explain(path: Path, error: duckdb.Error) -> StorageError | None:
    """Return what a failure of DuckDB says about the store or the disk; None if it says nothing about either."""
    text = str(error)
    (summary, *_) = text.splitlines() or [""]  # the rest may quote the query
    if any(words in summary for words in _DISK_FAILURES):
        return StoreWriteError(f"the disk is full or failed, and nothing was stored in {path}: {text}")
    if any(words in summary for words in _DAMAGE):
        return StoreDamagedError(f"{path} is not a DuckDB file, or it is damaged: {text}")
    return None


def _explain_attach(path: Path, error: duckdb.Error) -> Exception:
    """Return what a failed ATTACH means for the caller."""
    text = str(error)
    if "Could not set lock on file" in text:
        found = _CONFLICT.search(text)
        who = f"{found['name']} (process {found['pid']})" if found else "another program"
        return _HeldElsewhereError(f"{path} is open in {who}. Close it there and try again.")
    if "Unique file handle conflict" in text:
        return _HeldElsewhereError(f"{path} is open in another DuckDB connection of this process. Close that first.")
    if "version number" in text:
        return StoreVersionError(f"{path} was written by another DuckDB than {duckdb.__version__} can read: {text}")
    return _explain(path, error) or StorageError(f"cannot open {path}: {text}")
