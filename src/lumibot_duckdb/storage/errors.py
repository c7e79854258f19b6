"""The errors of the storage. Each message states what was wrong and how to fix it."""

from __future__ import annotations


class StorageError(Exception):
    """Base class of all errors of the storage."""


class InvalidBarsError(StorageError, ValueError):
    """Bars were refused and nothing was stored. The message names the asset and the first bad row."""


class InvalidRecordError(StorageError, ValueError):
    """A corporate action, an option chain or a label was refused and nothing was stored."""


class InvalidExportError(StorageError, ValueError):
    """An export is incomplete, was changed, or cannot be made as requested. Nothing of the file was stored."""


class HistoryRestatedError(StorageError):
    """Bars were meant for a version of a series that is not the current one any more. Nothing was stored."""


class SeriesNotFoundError(StorageError, LookupError):
    """The store has no such series."""


class AmbiguousSeriesError(StorageError, LookupError):
    """Several series match, for example from several sources. The message names them."""


class VersionGoneError(StorageError, LookupError):
    """The pinned version was deleted, removed by a compaction, damaged, or is not in a restored backup."""


class LabelNotFoundError(StorageError, LookupError):
    """No asset has such a label, or this value of it."""


class SnapshotNotFoundError(StorageError, LookupError):
    """The store has no such snapshot."""


class SnapshotError(StorageError, ValueError):
    """A snapshot cannot have that name, or it needs what was to be deleted."""


class SettingError(StorageError, ValueError):
    """The store has no such setting, or it cannot have that value."""


class RepairError(StorageError):
    """A repair cannot be made, or undone. The store is unchanged since the last repair."""


class StoreBusyError(StorageError, TimeoutError):
    """The store could not be locked in time. The message names the processes that hold it, if they are known."""


class StoreVersionError(StorageError):
    """The file was written by a newer release of this package, or of DuckDB."""


class StoreDamagedError(StorageError):
    """The file is not a store, or it is damaged. `cause` is what was found, without the remedy."""

    def __init__(self, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause or message


class ReplicaError(StorageError):
    """The file is a replica of a store, which is only read."""


class PublishedSnapshotError(StorageError):
    """A published snapshot cannot be reached, read or written. The message says why, and what to do."""


class SnapshotGoneError(PublishedSnapshotError):
    """An object of a published snapshot is not there: nothing was published, or it was removed."""


class StoreNotFoundError(StorageError, FileNotFoundError):
    """There is no store at that path."""


class StoreWriteError(StorageError, OSError):
    """The disk is full or failed. The message says whether it is certain that nothing was stored.

    `cause` is what failed, without what became of the data.
    """

    def __init__(self, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause or message


class DiskFullError(StoreWriteError):
    """The disk is full."""


class UpkeepRefusedError(StorageError, ValueError):
    """A rename or a merge was refused, and changed nothing. The message says why, and what to do instead."""
