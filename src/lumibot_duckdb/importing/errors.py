"""The errors of an import. Each message says what was wrong and how to fix it."""

from __future__ import annotations


class FileRefusedError(Exception):
    """A whole file was refused, and none of its bars were stored."""
