"""The lock between processes: two small files beside the store decide which of them may have it open.

Locks are BSD `flock` locks, which (unlike the POSIX locks that DuckDB takes) are not dropped when the same process
opens and closes the file elsewhere, and which the kernel frees when their process dies.

`<store>.lock` is held shared by every process that reads the store and exclusively by the one that writes. Its bytes
hold the generation counter, the seal (what the store file looked like when one of our writers last left it) and, for
error messages, who holds the lock. `<store>.turn` is the turnstile: a process that wants the lock holds the turnstile
until it has it, a reader shared and a writer exclusively. So a holder can see that others wait, and neither newcomers
nor a holder that wants an exclusive lock can overtake them. Neither file is ever deleted.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lumibot_duckdb.storage.connection import interruption, wait_notice
from lumibot_duckdb.storage.connection.disk_errors import disk_error, is_full
from lumibot_duckdb.storage.connection.processes import describe_process
from lumibot_duckdb.storage.connection.wait_notice import WaitNotice
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError, StoreWriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

# The head of the lock file: generation, process id of the writer, seal (modification time, size and inode of the file).
_HEAD = struct.Struct("<QI4xqqQ")
_GENERATION = struct.Struct("<Q")
_PID = struct.Struct("<I")
_SEAL = struct.Struct("<qqQ")
_WRITER_AT = _GENERATION.size
_SEAL_AT = _HEAD.size - _SEAL.size
# After it, process ids of readers.
_READERS_AT = 64
_READER_SLOTS = 64
_LENGTH = _READERS_AT + _READER_SLOTS * _PID.size

# No counter that this package writes is above it: it is 2262 in nanoseconds.
_LAST_GENERATION = 2**63 - 2

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)

_FIRST_PAUSE = 0.0003
_LONGEST_PAUSE = 0.004

_ADVICE = "Remove that file while no program uses the store; it is created again"


class StoreLock:
    """This process's hold on the lock of one store. Only `generation()` may be called by several threads at once.

    `exclusive` is None while nothing is held, else whether the lock is held exclusively.

    Where the lock files cannot be written, a store can still be read: under a shared lock on the files that there are.
    """

    def __init__(self, store: Path) -> None:
        if fcntl is None:
            raise StorageError(
                f"cannot lock {store}: this platform has no flock. Linux, macOS and WSL (on Windows) are supported."
            )
        self.store = store
        self.exclusive: bool | None = None
        self._counts = True  # false after a commit that could not be counted
        self._lock = _LockFile(store.with_name(store.name + ".lock"), _LENGTH)
        self._turn = _LockFile(store.with_name(store.name + ".turn"), 0)

    def acquire(self, exclusive: bool, deadline: float) -> None:
        """Take the lock, shared or exclusively.

        Raises `StoreBusyError`, which names the holders, if it is not free by `deadline` (of `time.monotonic`).
        """
        assert self.exclusive is None, "the lock is held already"
        if exclusive:
            self._refuse_unless_writable()

        notice = WaitNotice(wait_notice.FOR_A_PROCESS, deadline)

        def while_waiting() -> None:
            notice.look(lambda: f"{self.store} is in use ({self._holders()})")

        try:
            self._turn.lock(exclusive, deadline, while_waiting)
            try:
                self._lock.lock(exclusive, deadline, while_waiting)
            finally:
                self._turn.unlock()
            self.exclusive = exclusive
            self._sign()
        except BaseException as error:
            self.exclusive = None
            self._lock.unlock()
            if not isinstance(error, TimeoutError):
                raise
            raise StoreBusyError(
                f"{self.store} did not become free in time: {self._holders()}. Try again when that is done."
            ) from None

    def release(self, *, seal: bool = True) -> None:
        """Release the lock. The store file must be detached by now.

        Without `seal`, what this process leaves is not what it has written: somebody else has replaced the file.
        """
        if self.exclusive is None:
            return
        try:
            if self.exclusive:
                self._lock.write(_SEAL_AT, _seal_of(self.store) if seal else bytes(_SEAL.size))
            self._lock.write(_WRITER_AT if self.exclusive else _reader_slot(), bytes(_PID.size))
        except (OSError, StorageError) as error:
            # Without the seal, no other process trusts what it has cached.
            logger.warning("could not sign off in %s: %s", self._lock.path, error)
        finally:
            self.exclusive = None
            self._lock.unlock()

    def is_writable(self) -> bool:
        """Return whether the lock files can be written, as every writer must."""
        return self._lock.is_writable() and self._turn.is_writable()

    def _refuse_unless_writable(self) -> None:
        if self.is_writable():
            return
        self._lock.close()  # it may have become writable since
        self._turn.close()
        if not self.is_writable():
            raise StoreWriteError(
                f"{self.store} can only be read, since {self._lock.path} cannot be written. Make its folder and the "
                "files in it writable, or work on a copy"
            )

    def is_wanted(self) -> bool:
        """Return whether another process waits for the lock that is held."""
        if self.exclusive is None:
            return False
        if not self._turn.try_lock(self.exclusive):
            return True
        self._turn.unlock()
        return False

    def generation(self) -> int:
        """Return the counter that changes with every commit. Takes a few microseconds.

        While the counter cannot be trusted, each call returns another number: before the first lease, and after a
        program that does not use the counter has changed the store. The next lease fixes that.
        """
        head = self._lock.read(0, _HEAD.size)
        generation, writer, *_ = _HEAD.unpack(head)
        # While one of us writes, the file does not look as sealed, and the writer counts.
        if self._counts and generation and (writer or head[_SEAL_AT:] == _seal_of(self.store)):
            return int(generation)
        return -time.time_ns()

    def bump_generation(self) -> None:
        """Increase the counter. It follows the clock, so it never repeats even if the lock file is deleted."""
        (last,) = _GENERATION.unpack(self._lock.read(0, _GENERATION.size))
        if last > _LAST_GENERATION:
            last = 0  # something else has written into the file
        self._counts = False
        self._lock.write(0, _GENERATION.pack(max(last + 1, time.time_ns())))
        self._counts = True

    def close(self) -> None:
        """Release the lock and close the files."""
        self.release()
        self._lock.close()
        self._turn.close()

    def forget(self) -> None:
        """In a forked child: close the inherited files, which leaves the lock with the parent."""
        self.exclusive = None
        self._lock.forget()
        self._turn.forget()

    def _sign(self) -> None:
        """Record this process as a holder, and count changes by programs that do not use the counter."""
        if not self._lock.is_writable():
            return
        seal = _seal_of(self.store)
        if self._lock.read(_SEAL_AT, _SEAL.size) != seal or self.generation() < 0:
            self.bump_generation()
            self._lock.write(_SEAL_AT, seal)
        pid = _PID.pack(os.getpid())
        if self.exclusive:
            self._lock.write(_READERS_AT, bytes(_PID.size * _READER_SLOTS))
            self._lock.write(_WRITER_AT, pid)
        else:
            self._lock.write(_WRITER_AT, bytes(_PID.size))
            self._lock.write(_reader_slot(), pid)

    def holders(self) -> list[str]:
        """Return the recorded holders that are alive, such as "process 1234 (python a.py, ...) is writing"."""
        signed = [(self._lock.read(_WRITER_AT, _PID.size), "writing")]
        readers = self._lock.read(_READERS_AT, _PID.size * _READER_SLOTS)
        signed += [(readers[at : at + _PID.size], "reading") for at in range(0, len(readers), _PID.size)]
        return [
            f"{describe_process(pid)} is {doing}"
            for field, doing in signed
            if (pid := _PID.unpack(field)[0]) and is_alive(pid)
        ]

    def _holders(self) -> str:
        return ", ".join(self.holders()) or "others were always first"


class _LockFile:
    """One file to `flock`, opened on first use and kept open."""

    def __init__(self, path: Path, length: int) -> None:
        self.path = path
        self._length = length
        self._fd: int | None = None
        self._writable = True
        self._missing = False  # there is none, and none can be created
        self._guard = threading.Lock()  # keeps one thread from closing the descriptor that another reads from

    def __del__(self) -> None:
        self.close()

    def lock(self, exclusive: bool, deadline: float, while_waiting: Callable[[], None]) -> None:
        """Lock the file, polling until `deadline` (monotonic seconds), then raise TimeoutError."""
        pause = _FIRST_PAUSE
        while not self.try_lock(exclusive):
            interruption.check()
            while_waiting()
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            # Random pauses: no process is always the last to look.
            time.sleep(min(left, pause * random.uniform(0.5, 1.5)))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def try_lock(self, exclusive: bool) -> bool:
        """Lock the file if that is possible without waiting."""
        while True:
            fd = self._descriptor()
            if fd is None:
                return not exclusive
            try:
                fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as error:
                raise StorageError(
                    f"cannot lock {self.path}: {error.strerror}. A store needs a file system that has flock."
                ) from error
            if self._is_in_place(fd):
                return True
            self.close()

    def unlock(self) -> None:
        """Release the lock explicitly: closing does not while a forked child has the descriptor too."""
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def is_writable(self) -> bool:
        """Return whether the file can be written. It is created if there is none."""
        self._descriptor()
        return self._writable and not self._missing

    def read(self, at: int, length: int) -> bytes:
        """Return bytes of the file; zeros where it has none, which is how all of its fields begin."""
        with self._guard:
            if self._fd is None:
                try:
                    self._open(os.O_RDWR)
                except OSError:
                    return bytes(length)
            if self._fd is None:
                return bytes(length)
            try:
                return os.pread(self._fd, length, at).ljust(length, b"\0")
            except OSError as error:
                raise StorageError(f"cannot read {self.path}: {error.strerror}. {_ADVICE}") from error

    def write(self, at: int, content: bytes) -> None:
        """Write bytes of the file, if it can be written."""
        fd = self._descriptor()
        if fd is None or not self._writable:
            return
        try:
            os.pwrite(fd, content, at)
        except OSError as error:
            raise StoreWriteError(f"cannot write {self.path}: {error.strerror}. {_ADVICE}") from error

    def close(self) -> None:
        """Close the descriptor."""
        with self._guard:
            self._missing = False
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def forget(self) -> None:
        """Close the descriptor in a forked child, where threads that could hold the guard do not exist."""
        self._guard = threading.Lock()
        self.close()

    def _descriptor(self) -> int | None:
        """Return the descriptor; None if there is no file and none can be created."""
        with self._guard:
            if self._fd is None and not self._missing:
                try:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._open(os.O_RDWR | os.O_CREAT)
                    self._take_space()
                except OSError as error:
                    if is_full(error):
                        raise disk_error(error, f"without {self.path} the store cannot be used") from error
                    raise StorageError(
                        f"cannot make the lock file {self.path}: {error.strerror}. A store needs a writable folder."
                    ) from error
            return self._fd

    def _open(self, flags: int) -> None:
        """Open the file, for reading only where it cannot be written."""
        try:
            self._fd = os.open(self.path, flags | os.O_CLOEXEC, 0o666)
            self._writable = True
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            self._writable = False
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._missing = True

    def _take_space(self) -> None:
        """Take the space of the file now, so that no later write needs any of a full disk."""
        if self._fd is not None and self._writable and os.fstat(self._fd).st_size < self._length:
            os.pwrite(self._fd, b"\0", self._length - 1)

    def _is_in_place(self, fd: int) -> bool:
        """Return whether the locked file is still the one at its path (somebody may have deleted it)."""
        try:
            at_path = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(fd), at_path)


def _seal_of(store: Path) -> bytes:
    """Return what identifies the present contents of a file, from its directory entry: it is not opened."""
    try:
        found = store.stat()
    except FileNotFoundError:
        return bytes(_SEAL.size)
    return _SEAL.pack(found.st_mtime_ns, found.st_size, found.st_ino)


def _reader_slot() -> int:
    return _READERS_AT + _PID.size * (os.getpid() % _READER_SLOTS)


def is_alive(pid: int) -> bool:
    """Return whether a process is running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:
        return False  # no process has such a number
    return True
