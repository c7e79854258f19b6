"""What an error of the disk means: it is full, or it failed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lumibot_duckdb.storage.connection.interruption import is_interrupt
from lumibot_duckdb.storage.errors import DiskFullError, StorageError, StoreWriteError

_FULL = ("No space left on device", "quota exceeded")
READ_ONLY = ("Permission denied", "Read-only file system", "Operation not permitted")
_FILE = re.compile(r'file "(?P<path>[^"]+)"')


def is_full(error: BaseException) -> bool:
    """Return whether an error of DuckDB, pyarrow or Python means that a disk is full, or a quota is used up."""
    return isinstance(error, DiskFullError) or any(words in _summary(error) for words in _FULL)


def disk_error(error: Exception, outcome: str, *, needs: tuple[int, Path] | None = None) -> StoreWriteError:
    """Return the error for something that could not be written.

    Parameters:
        error: what DuckDB, pyarrow or Python raised.
        outcome: what became of the data, e.g. "nothing was stored in /data/lumibot.duckdb".
        needs: about how many bytes the work takes, and a folder on the disk that must have them.
    """
    file = _file(error)
    if not is_full(error):
        what, remedy, reason = "the disk is full or failed", "Check the disk and try again", _reason(error)
        if any(words in _summary(error) for words in READ_ONLY):
            what = f"{Path(file).parent if file else 'the folder'} is not writable"
            remedy = "Make it writable, or choose another folder"
        return StoreWriteError(f"{what}, and {outcome}: {reason}. {remedy}", cause=f"{what}: {reason}")
    what = "the disk is full"
    reason = f": there is no space for {file}" if file else ""
    if needs is not None and (not file or Path(file).parent == needs[1]):  # else it is a temporary file elsewhere
        size, folder = needs
        free = shutil.disk_usage(folder).free
        reason = f": this takes about {_megabytes(size)}, and {_megabytes(free)} are free in {folder}"
    return DiskFullError(f"{what}, and {outcome}{reason}. Free some space and try again", cause=f"{what}{reason}")


@contextmanager
def writing(outcome: str, *, needs: tuple[int, Path] | None = None) -> Iterator[None]:
    """Raise what fails while new files are written as `disk_error` does; a file that is in the way passes."""
    try:
        yield
    except DiskFullError as error:
        raise disk_error(error, outcome, needs=needs) from error
    except (StorageError, FileExistsError):
        raise
    except (OSError, duckdb.Error) as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        raise disk_error(error, outcome, needs=needs) from error


def _summary(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")  # the rest may quote a query


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(". ")


def _file(error: Exception) -> str:
    """Return the file that could not be written: it may be on another disk than the store, such as a temporary one."""
    found = _FILE.search(_summary(error))
    return found["path"] if found else str(getattr(error, "filename", None) or "")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
