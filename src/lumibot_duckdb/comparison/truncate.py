"""What is shown of a text that is too long to be read."""

from __future__ import annotations

_LONGEST = 600


def excerpt(text: str) -> str:
    """Return a text, or its beginning and how much was cut."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} ... ({len(text) - _LONGEST:,} more characters)"
