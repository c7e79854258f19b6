"""The errors of an import. Each message says what was wrong and how to fix it."""

from __future__ import annotations


class FileRefusedError(Exception):
    """A file cannot be imported as a whole; nothing of it was stored."""
