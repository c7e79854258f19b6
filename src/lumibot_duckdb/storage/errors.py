"""Every error that the storage raises on purpose. Each message says what was wrong and what to do."""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors of this package's storage."""


class InvalidBarsError(StorageError, ValueError):
    """Bars were refused: nothing of them was stored. The message names the asset and the first bad row."""


class InvalidRecordError(StorageError, ValueError):
    """A corporate action or an option chain was refused: nothing of it was stored."""


class HistoryRestatedError(StorageError):
    """Bars were to be added to a version of a series that is not the current one any more; nothing was stored."""


class SeriesNotFoundError(StorageError, LookupError):
    """The store has no such series."""


class AmbiguousSeriesError(StorageError, LookupError):
    """Several series answer to what was asked (several sources, quotes, ...); the message names them."""


class VersionGoneError(StorageError, LookupError):
    """The pinned version of a series was superseded and has been removed at a compaction since."""


class StoreBusyError(StorageError, TimeoutError):
    """The store could not be locked in time; the message names who holds it, as far as that is known."""


class StoreVersionError(StorageError):
    """The file was written by a newer release of this package."""


class StoreDamagedError(StorageError):
    """The file is not a store, or it is damaged."""


class StoreNotFoundError(StorageError, FileNotFoundError):
    """There is no store at that path."""


class StoreWriteError(StorageError, OSError):
    """The disk is full or failed. What was being written was rolled back; the store is as it was before."""
