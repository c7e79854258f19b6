"""The folder of the process of a target, with the output and the records of its trials. Only its user can read it.

The process that makes one locks a file in it. The system drops that lock when the process is killed, so a later one can
tell folders that are in use from those that were left behind, which it removes.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from lumibot_duckdb.storage.connection.file_lock import FileLock

_PREFIX = "lumibot-duckdb-sweep-"
_NOT_LOCKED_YET = "lumibot-duckdb-new-sweep-"
_IN_USE = "in-use"


class WorkFolder:
    """A new folder among the temporary files, at `path`. Those of processes that were killed are removed first."""

    def __init__(self) -> None:
        remove_abandoned()
        made = Path(tempfile.mkdtemp(prefix=_NOT_LOCKED_YET))
        self._lock = FileLock(made / _IN_USE)
        self._lock.take()
        # It gets the name by which others look for abandoned folders only now that it is locked.
        self.path = made.rename(made.with_name(made.name.replace(_NOT_LOCKED_YET, _PREFIX)))

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


def remove_abandoned() -> None:
    """Delete the folders of this user's processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another process removes it, too
            if _is_own_folder(folder) and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _is_abandoned(folder: Path) -> bool:
    lock = FileLock(folder / _IN_USE)
    try:
        return (folder / _IN_USE).is_file() and lock.take()
    finally:
        lock.release()
