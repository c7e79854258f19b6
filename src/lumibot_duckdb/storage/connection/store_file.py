"""The store's file: how it is created, locked, attached to DuckDB, checkpointed and detached.

DuckDB alone opens the live file. If this process opened and closed another descriptor on it, the lock that DuckDB
holds against other programs would be dropped.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import duckdb

from lumibot_duckdb.storage.connection.checkpoint_guard import CheckpointGuard, read_header
from lumibot_duckdb.storage.connection.disk_errors import disk_error, is_full
from lumibot_duckdb.storage.connection.duckdb_errors import UnmatchedLogError, attach_failure, explained, is_fatal
from lumibot_duckdb.storage.connection.engine import NEW_FILE, Engine, attach, leak
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.sandbox import Sandbox
from lumibot_duckdb.storage.errors import StorageError, StoreNotFoundError, StoreWriteError

logger = logging.getLogger(__name__)

# As much as DuckDB lets its log grow. Its own checkpoints are switched off, since ours are guarded.
_LONG_LOG_BYTES = 16 * 2**20
# A checkpoint joins short row groups, and frees the space of theirs for what is written later. Without one in between,
# the file of a long lease can be half as large again as its contents.
_MOST_GROWTH_BYTES = 16 * 2**20
_LOG_STAYS = "nothing was folded into the store"


class StoreFile:
    """One store file, under the lock between processes. `db` is the name under which it is attached.

    Not safe for use by several threads at once: the lease sees to that.
    """

    def __init__(self, path: Path, db: str) -> None:
        self.path = path
        self.db = db
        self.lock = StoreLock(path)
        self._log = path.with_name(path.name + ".wal")
        self._guard = CheckpointGuard(path)
        self._engine: Engine | None = None  # where the file is attached, while it is
        self._sandboxes: dict[bool, Sandbox] = {}  # for users' queries, while the file is attached for reading
        self._identity: tuple[int, ...] | None = None  # of the file that was attached last
        self._size = 0  # of the file when it was attached or checkpointed last
        self._watched: int | None = None  # the file, open for reading from before it is attached until after
        self._headers = b""  # of the file that is attached for writing

    def exists(self) -> bool:
        """Return whether there is a store. An interrupted program may leave an empty file, which is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"cannot look for a store at {self.path}: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise StorageError(f"{self.path} is not a regular file, so it cannot be a store; choose another path")
        return found.st_size > 0

    def was_replaced(self) -> bool:
        """Return whether the attached file is no longer the one at the path, or was overwritten there."""
        found, attached, watched = _identity_of(self.path), self._identity, self._watched
        if watched is None or found is None or attached is None:
            return found != attached
        # Of a file that is attached for writing, only checkpoints change the headers or make it smaller.
        try:
            same_headers = read_header(watched) == self._headers
        except OSError:
            return True
        return not same_headers or found[:2] != attached[:2] or found[-1] < attached[-1]

    def _is_cut_off(self) -> bool:
        """Return whether the file is smaller than what was attached, so that it lacks rows that the log refers to."""
        found = _identity_of(self.path)
        return found is not None and self._identity is not None and found[-1] < self._identity[-1]

    def note_growth(self) -> None:
        """Remember the size of the file after a commit, which may have made it larger."""
        found = _identity_of(self.path)
        if found is not None and self._identity is not None and found[:2] == self._identity[:2]:
            self._identity = found

    def _remember(self) -> None:
        self._identity = _identity_of(self.path)
        self._size = self._identity[-1] if self._identity is not None else 0
        if self._watched is not None:
            self._headers = read_header(self._watched)

    def refuse_if_replaced(self) -> None:
        """Raise `StoreWriteError` if writing would put the old state into another file."""
        if self.was_replaced():
            raise StoreWriteError(f"{self.path} was replaced by another file while it was open here; try again")

    def log_bytes(self) -> int:
        """Return the size of DuckDB's log."""
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    # -- open and close --------------------------------------------------------------------------------------

    def open(self, exclusive: bool, deadline: float) -> Engine:
        """Lock the store between processes and attach the file."""
        try:
            self.lock.acquire(exclusive, deadline)
            if not exclusive and self.is_unfinished() and self.lock.is_writable():
                # Nobody is writing now, so this is from a writer that was killed.
                self.lock.release()
                self._recover(deadline)
                self.lock.acquire(exclusive, deadline)
            return self._attach(exclusive)
        except BaseException:
            self.lock.release()
            raise

    def close(self) -> None:
        """Detach the file and release the lock. Nothing that fails here is an error of the last write."""
        replaced = False
        try:
            replaced = self._engine is not None and self.was_replaced()
            if self.lock.exclusive and self._engine is not None and not self._engine.failed:
                try:
                    self.checkpoint()
                except (duckdb.Error, StorageError) as error:
                    self._report_unfolded(error)
            self.detach()
            if replaced and self.lock.exclusive and self._is_cut_off():
                with suppress(StoreWriteError):  # attaching the file will fail, and explain it
                    self._put_log_aside()
        finally:
            self.lock.release(seal=not replaced)

    def detach(self) -> None:
        """Detach the file, and keep the lock."""
        engine, self._engine = self._engine, None
        self._close_sandboxes()
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

    def forget(self) -> None:
        """In a forked child: hold nothing, and leave everything of the parent's alone."""
        if self._engine is not None:
            leak(self._engine)
        self._engine = None
        for sandbox in self._sandboxes.values():
            sandbox.forget()
        self._sandboxes = {}
        self._identity = None
        self.lock.forget()
        self._unwatch()

    # -- users' queries --------------------------------------------------------------------------------------

    def sandbox(self, *, allow_files: bool) -> Sandbox:
        """Return where users' queries run while the file is attached for reading. Not safe for several threads."""
        assert self.lock.exclusive is False, "the store is being written"
        if allow_files not in self._sandboxes:
            try:
                self._sandboxes[allow_files] = Sandbox(self.path, allow_files=allow_files)
            except duckdb.Error as error:
                raise attach_failure(self.path, error, writing=False) from error
        return self._sandboxes[allow_files]

    def _close_sandboxes(self) -> None:
        # Not before the file is to be detached: closing it drops DuckDB's lock on it.
        while self._sandboxes:
            self._sandboxes.popitem()[1].close()

    # -- checkpoints -----------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Fold the log into the file, guarded so that no harm is done if the process dies meanwhile."""
        assert self._engine is not None
        self.refuse_if_replaced()
        with explained(self.path, self._engine, outcome=_LOG_STAYS), self._engine.cursor() as duck:
            if self._log.exists():
                self._set_guard(duck)
            duck.execute(f"CHECKPOINT {self.db}")
        self._remember()
        self._guard.clear()

    def fold_long_log(self) -> None:
        """Checkpoint during a long lease, as DuckDB otherwise does: its log and its file would grow without end."""
        try:
            if self.log_bytes() > _LONG_LOG_BYTES or self._growth() > _MOST_GROWTH_BYTES:
                self.checkpoint()
        except (duckdb.Error, OSError, StorageError) as error:
            self._report_unfolded(error)

    def _growth(self) -> int:
        return 0 if self._identity is None else self._identity[-1] - self._size

    def _report_unfolded(self, error: Exception) -> None:
        """Report that a checkpoint failed. Everything is committed, in the log, and the next lease tries again.

        A full disk is not worth a warning: a write for which it has no space raises an error.
        """
        level = logging.INFO if is_full(error) else logging.WARNING
        logger.log(level, "the last writes to %s stay in its log for now: %s", self.path, error)

    def _set_guard(self, duck: duckdb.DuckDBPyConnection) -> None:
        assert self._watched is not None
        blocks = duck.execute(f"SELECT block_id FROM pragma_metadata_info('{self.db}')").fetchall()
        # Without parameters: on DuckDB 1.5 the first query of a process that has some imports pandas.
        size = f"SELECT block_size FROM pragma_database_size() WHERE database_name = '{self.db}'"
        ((block_size,),) = duck.execute(size).fetchall()
        try:
            self._guard.set(self._watched, block_size, [block for (block,) in blocks])
        except OSError as error:
            raise disk_error(error, _LOG_STAYS) from error

    def is_unfinished(self) -> bool:
        """Return whether there is a log to be folded into the file: of a writer that is at work, or was killed."""
        return self._log.exists() or self._guard.exists()

    def _recover(self, deadline: float) -> None:
        """Fold the log of a killed writer into the file.

        If the disk has no room for that, the log stays, and readers read the file together with it.
        """
        self.lock.acquire(True, deadline)
        try:
            if self.is_unfinished() and self.exists():
                self._attach(exclusive=True)
                try:
                    self.checkpoint()
                except StoreWriteError as error:
                    self._report_unfolded(error)
                finally:
                    self.detach()
        finally:
            self.lock.release()

    # -- attaching -------------------------------------------------------------------------------------------

    def _attach(self, exclusive: bool) -> Engine:
        if not self.exists():
            if not exclusive:
                raise StoreNotFoundError(f"there is no store at {self.path}")
            self._create()
        if exclusive:
            self._guard.restore()
            self._watch()
        engine = Engine.current()
        try:
            if exclusive:
                self._run_attach_for_writing(engine)
            else:
                self._run_attach(engine, self.path, "READ_ONLY")
            self._remember()
        except BaseException:
            self._unwatch()
            raise
        engine.attached += 1
        self._engine = engine
        return engine

    def _run_attach_for_writing(self, engine: Engine) -> None:
        try:
            self._run_attach(engine, self.path, "READ_WRITE")
        except UnmatchedLogError:
            self._put_log_aside()  # a backup was restored after a process was killed that had been writing
            self._run_attach(engine, self.path, "READ_WRITE")

    def _put_log_aside(self) -> None:
        """Rename the log of a file that another has replaced."""
        aside = self._log.with_name(f"{self._log.name}.unmatched-{time.time_ns()}")
        try:
            self._log.rename(aside)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreWriteError(f"cannot rename {self._log}: {error.strerror}") from error
        logger.warning("the log of another version of %s is renamed to %s, and not used", self.path, aside.name)

    def _create(self) -> None:
        """Create an empty store, under another name at first: a file at the path is always complete."""
        unfinished = self.path.with_name(self.path.name + ".creating")
        left_over = (unfinished, unfinished.with_name(unfinished.name + ".wal"), self._log)
        engine = Engine.current()
        try:
            for file in left_over:
                file.unlink(missing_ok=True)
            self._run_attach(engine, unfinished, NEW_FILE)
            with explained(self.path, engine, outcome=f"nothing was stored in {self.path}"):
                try:
                    self._run_detach(engine)
                except duckdb.Error:
                    engine.failed = True  # closing it detaches the file
                    raise
            unfinished.replace(self.path)
        except StorageError:
            raise  # some are OSErrors
        except OSError as error:
            raise disk_error(error, f"no store was created at {self.path}") from error

    def _watch(self) -> None:
        # Opened before and closed after DuckDB has the file: closing it in between would drop DuckDB's lock.
        try:
            self._watched = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreWriteError(f"cannot open {self.path}: {error.strerror}") from error

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            os.close(watched)

    def _run_attach(self, engine: Engine, path: Path, options: str) -> None:
        try:
            with engine.cursor() as duck:
                attach(duck, path, self.db, options)
        except duckdb.Error as error:
            engine.failed |= is_fatal(error)
            engine.close_if_failed()
            raise attach_failure(self.path, error, writing=options != "READ_ONLY") from error
        except BaseException:
            with suppress(duckdb.Error):  # interrupted: it may be attached or not
                self._run_detach(engine)
            raise

    def _run_detach(self, engine: Engine) -> None:
        with engine.cursor() as duck:
            duck.execute(f"DETACH {self.db}")


def _identity_of(path: Path) -> tuple[int, ...] | None:
    """Return what identifies the file at a path, and its contents while nobody writes it; None if there is none.

    It begins with what identifies the file alone, and ends with its size.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
