"""Locks of this process and its children on files. The system drops them when the last of these ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where no store can be opened either
    fcntl = None  # type: ignore[assignment]

_PAUSE = 0.05


class FileLock:
    """A lock on a file, which is created if there is none. A forked child holds it too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self, *, shared: bool = False, while_waiting: Callable[[], None] | None = None) -> bool:
        """Take the lock. Without `while_waiting`, return whether that is possible at once.

        A file that is replaced or deleted meanwhile does not count, and is opened again.
        """
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if not _locked(fd, shared, while_waiting):
                    os.close(fd)
                    return False
                if self._is_in_place(fd):
                    self._fd = fd
                    return True
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def release(self) -> None:
        """Release the lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def remove(self) -> None:
        """Delete the file of a lock that is held, and release it. A process that waits for it creates another."""
        self._path.unlink(missing_ok=True)
        self.release()

    def _is_in_place(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False


def _locked(fd: int, shared: bool, while_waiting: Callable[[], None] | None) -> bool:
    while True:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if while_waiting is None:
                return False
        while_waiting()
        time.sleep(_PAUSE)
