"""What an error of DuckDB says about the store: its file is damaged, the disk is full, another program holds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lumibot_duckdb.storage.connection.disk_errors import READ_ONLY, disk_error
from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.connection.processes import describe_process, posix_lock_holders
from lumibot_duckdb.storage.errors import StorageError, StoreDamagedError, StoreVersionError, StoreWriteError

_CONFLICT = re.compile(r"Conflicting lock is held in (?P<name>.*?) \(PID (?P<pid>\d+)\)")
_DISK_FAILURES = ("No space left on device", "File too large", "quota exceeded", "Could not write", "fsync")
_UNREADABLE = "Input/output error"
_NO_DATABASE = "not a valid DuckDB database file"
_DAMAGE = (
    _NO_DATABASE,
    "Could not read enough bytes from file",
    "Corrupt database file",
    "Failure while replaying WAL",
)
_BLOCK = re.compile(r"computed checksum \d+ does not match stored checksum \d+ in block at location (?P<byte>\d+)")

_CUT_OFF = re.compile(
    r"Could not read enough bytes from file .*: attempted to read \d+ bytes from location (?P<byte>\d+)"
)


class HeldElsewhereError(Exception):
    """The file is open in a program that does not use our lock."""

    def __init__(self, path: Path, pids: Iterable[int] = (), program: str = "", *, here: bool = False) -> None:
        super().__init__(path, program)
        self._path = path
        self._pids = sorted(pids)
        self._program = program
        self._here = here

    def cause(self) -> str:
        """Return where the file is open."""
        if self._here:
            return f"{self._path} is open in another DuckDB connection of this process"
        holders = [describe_process(pid, self._program) for pid in self._pids]
        return f"{self._path} is open in {' and in '.join(holders) or self._program or 'another program'}"

    def __str__(self) -> str:
        if self._here:
            return f"{self.cause()}. Close that first, or query the store with DuckDBDataStorage.sql."
        return (
            f"{self.cause()}. Close it there and try again. Programs that query the store with DuckDBDataStorage.sql, "
            "or read a copy of it (`lumibot-duckdb replica`), do not keep others waiting."
        )


class UnmatchedLogError(StoreDamagedError):
    """DuckDB's log belongs to another state of the file, so it can never be folded into it."""


class DamagedBlockError(StoreDamagedError):
    """A part of the file cannot be read; the rest perhaps can. `reason` is what DuckDB reports, in short."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged: {reason}. Repair it (lumibot-duckdb verify --repair) or, if that is not possible, "
            "restore a backup of it (lumibot-duckdb restore)",
            cause=f"{path} is damaged: {reason}",
        )
        self.reason = reason


def is_fatal(error: duckdb.Error) -> bool:
    """Return whether the DuckDB instance cannot be used any more after an error."""
    return isinstance(error, (duckdb.FatalException, duckdb.InternalException))


@contextmanager
def explained(path: Path, engine: Engine, *, outcome: str = "") -> Iterator[None]:
    """Raise DuckDB's errors about the file or the disk as errors of this package; other errors pass.

    `outcome` is what an error means for the data, if something is being written.
    """
    try:
        yield
    except duckdb.Error as error:
        engine.failed |= is_fatal(error)
        explanation = _explanation(path, error, outcome)
        if explanation is None:
            raise
        raise explanation from error


def commit_failure(path: Path, error: duckdb.Error, *, rolled_back: bool) -> StoreWriteError:
    """Return the error for a COMMIT that failed, and was rolled back for certain or perhaps not."""
    if rolled_back:
        return disk_error(error, f"nothing was stored in {path}")
    return StoreWriteError(
        f"the disk failed while a write to {path} was being completed, so it may be stored or not: {_summary(error)}. "
        "Check the disk and write the same again, which changes nothing if it is stored"
    )


def is_attached_here(error: BaseException) -> bool:
    """Return whether an ATTACH failed because another DuckDB instance of this process has the file."""
    return isinstance(error, duckdb.Error) and "Unique file handle conflict" in str(error)


def attach_failure(path: Path, error: duckdb.Error, *, writing: bool) -> Exception:
    """Return what a failed ATTACH, for writing or for reading, means for the caller."""
    text = str(error)
    if "Could not set lock on file" in text:
        found = _CONFLICT.search(text)
        named = {int(found["pid"])} - {0} if found else set()
        return HeldElsewhereError(path, named | posix_lock_holders(path), Path(found["name"]).name if found else "")
    if is_attached_here(error):
        return HeldElsewhereError(path, here=True)
    if "version number" in text:
        return StoreVersionError(f"{path} was written by another DuckDB than {duckdb.__version__} can read: {text}")
    if "Failure while replaying WAL" in text and "not match" in text:
        return UnmatchedLogError(
            f"the log beside {path} belongs to another version of it, as if one had been restored from a backup "
            f"without the other: {text}. Restore both, or move the log ({path.name}.wal) elsewhere"
        )
    summary = _summary(error)
    if writing and any(words in summary for words in READ_ONLY):
        return StoreWriteError(
            f"{path} can only be read ({summary.rpartition(': ')[2]}). Make it writable, or work on a copy"
        )
    if any(words in summary for words in _DAMAGE):
        reason = "" if _NO_DATABASE in summary else f": {damage_reason(error)}"
        cause = f"{path} is not a DuckDB file, or it is damaged{reason}"
        return StoreDamagedError(f"{cause}. Restore a backup of it (lumibot-duckdb restore)", cause=cause)
    explanation = _explanation(path, error, f"nothing was stored in {path}" if writing else "")
    return explanation or (StoreWriteError if writing else StorageError)(f"cannot open {path}: {summary}")


def damaged_block(path: Path, error: BaseException) -> DamagedBlockError | None:
    """Return what an error of DuckDB means if it cannot read a part of the file at `path`; None for other errors."""
    if isinstance(error, duckdb.Error) and any(words in _summary(error) for words in _DAMAGE):
        return DamagedBlockError(path, damage_reason(error))
    return None


def damage_reason(error: BaseException) -> str:
    """Return why DuckDB cannot read a part of a file, in a few words."""
    summary = _summary(error)
    if found := _BLOCK.search(summary):
        return f"the block at byte {found['byte']} has a wrong checksum"
    if found := _CUT_OFF.search(summary):
        return f"the file ends within the block at byte {found['byte']}, or before it"
    return summary.rstrip(".! ")


def _summary(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")  # the rest may quote the query


def _explanation(path: Path, error: duckdb.Error, outcome: str) -> StorageError | None:
    summary, damage = _summary(error), damaged_block(path, error)
    if damage is not None:
        return damage
    if any(words in summary for words in _DISK_FAILURES) or (
        outcome and isinstance(error, (duckdb.IOException, duckdb.FatalException))
    ):
        return disk_error(error, outcome or f"{path} is unchanged")
    if _UNREADABLE in summary:
        return StorageError(f"cannot read {path}, because the disk failed: {summary}")
    return None
