"""The reasons why a file of an old cache is not migrated. Each message is printed after the file's name."""

from __future__ import annotations


class MigrationError(Exception):
    """Base class of all reasons."""


class UnreadableFileError(MigrationError):
    """The file is damaged, truncated, or not of the type that its name says."""


class RefusedFileError(MigrationError):
    """The file may be harmful: a pickle that would construct or call objects that such a cache never contains."""


class LeftAloneError(MigrationError):
    """The file is intact but cannot or need not be migrated; the message says why, and what the user can do."""


class WaitingError(LeftAloneError):
    """The file can be migrated once the user has done what the message says."""


class ConflictError(MigrationError):
    """The store already has different values, which are kept."""
