"""Errors of the results database. All of them are errors of the storage, whose other errors it raises, too."""

from __future__ import annotations

from lumibot_duckdb.storage.errors import StorageError


class ResultsNotFoundError(StorageError, FileNotFoundError):
    """There are no results at that path."""


class NotResultsError(StorageError):
    """The file is no results database, or it is damaged."""


class SweepExistsError(StorageError, ValueError):
    """A sweep of that name is in the results already."""


class SweepNotFoundError(StorageError, LookupError):
    """The results have no sweep of that name."""


class SessionNotFoundError(StorageError, LookupError):
    """The results have no session of live trading of that name."""


class TrialNotFoundError(StorageError, LookupError):
    """The sweep has no trial of that number."""


class InvalidResultError(StorageError, ValueError):
    """A sweep or a trial was refused, and nothing was stored."""
