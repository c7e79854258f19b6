"""Shortens texts that are too long to read."""

from __future__ import annotations

_MAX_LENGTH = 600


def truncate(text: str) -> str:
    """Return a text; of a long one, the beginning and the number of characters that were cut."""
    if len(text) <= _MAX_LENGTH:
        return text
    return f"{text[:_MAX_LENGTH]} ... ({len(text) - _MAX_LENGTH:,} more characters)"
