"""Imports the files of a plan into a store, one at a time, and compares each with what the store then returns.

Stored bars are never replaced, and the files are only read. A problem with a file becomes its outcome; only a problem
with the store itself ends the run. The store remembers each verified file, so the next run continues where this one
ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import duckdb

from lumibot_duckdb.migration.plan import Plan
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent, CachedBars, LeftOut
from lumibot_duckdb.sources.shared.old_cache.errors import (
    ConflictError,
    LeftAloneError,
    MigrationError,
    UnreadableFileError,
    WaitingError,
)
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.storage.api import DataStorageInterface
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    InvalidBarsError,
    InvalidRecordError,
    SeriesNotFoundError,
    StorageError,
)

_STATEMENT_ERRORS = (duckdb.DataError, duckdb.IntegrityError, duckdb.NotSupportedError, duckdb.ProgrammingError)
"""Errors of DuckDB about a statement and its values, not about the store, the disk or the memory."""

_REASONS = (MigrationError, HistoryRestatedError, InvalidBarsError, InvalidRecordError, *_STATEMENT_ERRORS)
"""Errors that concern one file, so that the run continues."""


_READ, _WRITTEN = 0.3, 0.8
"""How much of the work for a file is done when it is read, and when it is written but not verified."""

OnFile: TypeAlias = Callable[[Path, float], None]


class Ending(Enum):
    """The result for a file, in words."""

    MIGRATED = "migrated"
    ALREADY_HERE = "already here"
    LEFT_ALONE = "left alone"
    WAITING = "waiting for you"
    UNREADABLE = "unreadable"
    CONFLICT = "in conflict with the store"
    UNVERIFIED = "not verified"
    FAILED = "failed"


_ENDINGS: Mapping[type[Exception], Ending] = {
    WaitingError: Ending.WAITING,
    LeftAloneError: Ending.LEFT_ALONE,
    ConflictError: Ending.CONFLICT,
    HistoryRestatedError: Ending.CONFLICT,
    duckdb.Error: Ending.FAILED,
}
"""The result for a file that raises one of these, the first that matches; UNREADABLE for all others."""


@dataclass(frozen=True)
class Outcome:
    """The result for one file: how many of its `rows` are in the store, and how many of them are `new`.

    `reason` says why it was not imported, `left_out` which parts were not, and `damaged` that one of those is damaged
    or was refused. `kept` says why it was not deleted although that was requested; `deleted` names the deleted files.
    """

    file: Path
    kind: str
    ending: Ending
    rows: int = 0
    new: int = 0
    reason: str = ""
    left_out: tuple[str, ...] = ()
    damaged: bool = False
    kept: str = ""
    deleted: tuple[Path, ...] = ()


def migrate_files(
    plan: Plan,
    storage: DataStorageInterface,
    *,
    delete_verified: bool = False,
    on_file: OnFile = lambda file, done: None,
) -> Iterator[Outcome]:
    """Import the files of a plan, and yield the outcome of each.

    With `delete_verified`, a file that the store returns in full is deleted, with its companions. `on_file` receives
    each file and how much of the work for it is done, from 0 to 1. Raises storage errors that do not concern one file,
    for example if another process holds the store or the disk is full.
    """
    for each in _imports(plan, storage):
        yield each.outcome(delete_verified=delete_verified, on_file=on_file)


def forecast_files(plan: Plan, storage: DataStorageInterface) -> Iterator[Outcome]:
    """Read the files of a plan, and yield the outcome that each would have, as if the others were not imported.

    Files that the store already has are not read again. Nothing is written, so an outdated store is not upgraded and
    cannot be queried.
    """
    query = not storage.is_outdated()
    for each in _imports(plan, storage):
        yield each.forecast(query=query)


def _imports(plan: Plan, storage: DataStorageInterface) -> Iterator[_Import]:
    return (_Import(plan.folder, kind.reader, file, storage) for kind in plan.kinds for file in kind.files)


def _contents(reader: CacheReader, file: Path) -> Sequence[CacheContent]:
    """Return the contents of a file. Raises `MigrationError` for any problem with it."""
    try:
        return reader.read(file)
    except (MigrationError, StorageError):
        raise
    except OSError as error:
        raise _file_error(error) from None
    except Exception as error:  # an unexpected error of the libraries that read it must not end the run
        raise UnreadableFileError(f"it cannot be read: {type(error).__name__}: {error}") from error


def _file_error(error: OSError) -> MigrationError:
    if isinstance(error, FileNotFoundError):
        return LeftAloneError("it no longer exists: another program has deleted or renamed it")
    return UnreadableFileError(f"it cannot be read: {error.strerror or error}")


def _is_text(path: str) -> bool:
    """Return whether a path is text that can be stored: names on a disk are bytes, and some are not UTF-8."""
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False


class _Import:
    """The import of one file."""

    def __init__(self, folder: Path, reader: CacheReader, file: Path, storage: DataStorageInterface) -> None:
        self._folder = folder
        self._reader = reader
        self._file = file
        self._storage = storage

    def forecast(self, *, query: bool) -> Outcome:
        """Return the outcome that the file would have; without `query`, the outcome on an empty store."""
        try:
            rows = self._rows_here(self._fingerprint())
            if rows is not None:
                return self._ended(Ending.ALREADY_HERE, rows=rows)
            contents = _contents(self._reader, self._file)
            if query:
                return self._foreseen(contents)
        except _REASONS as error:
            return self._refused(error)
        return self._ended(Ending.MIGRATED, contents, new=sum(content.rows for content in contents))

    def outcome(self, *, delete_verified: bool, on_file: OnFile) -> Outcome:
        """Import the file unless the store has it, and delete it if that is requested and safe."""
        on_file(self._file, 0.0)
        try:
            fingerprint = self._fingerprint()
            rows = self._rows_here(fingerprint)
            if rows is not None and not delete_verified:
                return self._ended(Ending.ALREADY_HERE, rows=rows)
            outcome = self._migrated(fingerprint, on_file)
        except _REASONS as error:
            return self._refused(error)
        if rows is not None and outcome.ending is Ending.MIGRATED:
            outcome = replace(outcome, ending=Ending.ALREADY_HERE)
        if delete_verified and outcome.ending in (Ending.MIGRATED, Ending.ALREADY_HERE):
            return self._deleted(outcome, fingerprint)
        return outcome

    def _rows_here(self, fingerprint: str) -> int | None:
        """Return how many rows were imported from the file; None if it was not, or the store no longer has them."""
        if not self._file.name.isprintable() or not _is_text(str(self._file.absolute())):
            raise UnreadableFileError("its path has characters that Lumibot never uses: rename it")
        return self._storage.migrated_files.rows(str(self._file.absolute()), fingerprint)

    def _migrated(self, fingerprint: str, on_file: OnFile) -> Outcome:
        """Read, check, store, verify and remember the file. If a check fails, nothing of it is stored."""
        contents = _contents(self._reader, self._file)
        checked = [content.check(self._storage) for content in contents]
        on_file(self._file, _READ)
        metadata = {"migrated_from": self._file.relative_to(self._folder).as_posix()}
        new = sum(each.write(self._storage, metadata, version) for each, version in zip(contents, checked, strict=True))
        on_file(self._file, _WRITTEN)
        difference = self._difference(contents)
        if difference:
            return self._ended(Ending.UNVERIFIED, contents, new=new, reason=difference)
        outcome = self._ended(Ending.MIGRATED, contents, new=new)
        only_here = tuple(left_out for each in contents if (left_out := each.only_in_file(self._storage)))
        outcome = replace(outcome, left_out=outcome.left_out + only_here)
        # A file that has changed must be read again, and damage must be reported again.
        if self._is_still(fingerprint) and not outcome.damaged:
            path, versions = str(self._file.absolute()), self._versions(contents)
            self._storage.migrated_files.remember(path, fingerprint, outcome.rows, versions)
        return outcome

    def _foreseen(self, contents: Sequence[CacheContent]) -> Outcome:
        """Return the outcome that the contents would have, by querying the store."""
        for content in contents:
            content.check(self._storage)
        new = sum(content.new_rows(self._storage) for content in contents)
        filled = [content for content in contents if content.rows]
        if new or (not filled and self._extends_coverage(contents)):
            return self._ended(Ending.MIGRATED, contents, new=new)
        difference = self._difference(filled)
        return self._ended(Ending.UNVERIFIED if difference else Ending.ALREADY_HERE, contents, reason=difference)

    def _extends_coverage(self, contents: Sequence[CacheContent]) -> bool:
        """Return whether a file without bars covers ranges that the store does not cover."""
        return any(isinstance(content, CachedBars) and content.lacking(self._storage) for content in contents)

    def _difference(self, contents: Sequence[CacheContent]) -> str:
        return next((found for each in contents if (found := each.difference(self._storage))), "")

    def _versions(self, contents: Sequence[CacheContent]) -> list[int]:
        """Return the current versions of the series that the bars are in; an empty answer may have no series."""
        found = []
        for key in {content.key for content in contents if isinstance(content, CachedBars)}:
            try:
                found.append(self._storage.pin(key).version_id)
            except SeriesNotFoundError:
                continue
        return found

    # -- deleting --------------------------------------------------------------------------------------------

    def _deleted(self, outcome: Outcome, fingerprint: str) -> Outcome:
        """Delete a file that was just verified, unless there is a reason not to."""
        files = [self._file, *self._reader.companions_to_delete(self._file)]
        reason = self._against_deleting(files, outcome, fingerprint)
        if reason:
            return replace(outcome, kept=reason)
        gone: list[Path] = []
        try:
            for file in files:
                file.unlink()
                gone.append(file)
        except OSError as error:
            return replace(outcome, kept=f"it cannot be deleted: {error.strerror}", deleted=tuple(gone))
        return replace(outcome, deleted=tuple(gone))

    def _against_deleting(self, files: Sequence[Path], outcome: Outcome, fingerprint: str) -> str:
        if outcome.left_out:
            return f"the store does not have {outcome.left_out[0]}"
        home = self._folder.resolve()
        for file in files:
            if file.is_symlink() or file.resolve() != home / file.relative_to(self._folder):
                return f"{file.name} is a link, or below a linked folder"
        return "" if self._is_still(fingerprint) else "it was changed in the meantime"

    # -- the file --------------------------------------------------------------------------------------------

    def _fingerprint(self) -> str:
        """Return names, sizes and modification times of the file and its companions."""
        try:
            files = (self._file, *sorted(self._reader.companions(self._file)))
            states = [(file.name, file.stat()) for file in files]
        except OSError as error:
            raise _file_error(error) from None
        return "; ".join(f"{name}: {state.st_size} bytes, {state.st_mtime_ns}" for name, state in states)

    def _is_still(self, fingerprint: str) -> bool:
        """Return whether the file is unchanged."""
        try:
            return self._fingerprint() == fingerprint
        except MigrationError:
            return False

    # -- its outcome -----------------------------------------------------------------------------------------

    def _refused(self, error: Exception) -> Outcome:
        """Return the outcome of a file that was not imported."""
        ending = next((ending for kind, ending in _ENDINGS.items() if isinstance(error, kind)), Ending.UNREADABLE)
        reason = str(error)
        if ending is Ending.FAILED:
            reason = f"{type(error).__name__}: {reason.splitlines()[0]}"
        return self._ended(ending, reason=reason)

    def _ended(
        self,
        ending: Ending,
        contents: Sequence[CacheContent] = (),
        *,
        rows: int | None = None,
        new: int = 0,
        reason: str = "",
    ) -> Outcome:
        left_out = [content for content in contents if isinstance(content, LeftOut)]
        return Outcome(
            self._file,
            self._reader.name,
            ending,
            rows=sum(content.rows for content in contents) if rows is None else rows,
            new=new,
            reason=reason,
            left_out=tuple(content.label for content in left_out),
            damaged=any(content.damaged for content in left_out),
        )
