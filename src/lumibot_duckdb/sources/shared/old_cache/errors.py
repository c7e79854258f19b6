"""Why a file of an old cache was not brought in. Each message is a reason that follows the file's name."""

from __future__ import annotations


class MigrationError(Exception):
    """Base of all reasons."""


class UnreadableFileError(MigrationError):
    """The file is damaged, cut short, or not what its name says."""


class RefusedFileError(MigrationError):
    """The file could be harmful: a pickle that would build or run what such a cache never holds."""


class LeftAloneError(MigrationError):
    """The file is sound, and cannot or need not be brought in; the message says why, and what could be done."""


class WaitingError(LeftAloneError):
    """The file could be brought in once somebody has done what the message says."""


class ConflictError(MigrationError):
    """The store has other values already; they are kept."""
