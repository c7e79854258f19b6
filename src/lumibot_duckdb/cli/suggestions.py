"""Suggestions for misspelled words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

_LISTED = 10


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word closest to a misspelled one, ignoring case; None if none is close."""
    from difflib import get_close_matches

    spellings = {each.casefold(): each for each in reversed(list(known))}
    found = get_close_matches(word.casefold(), spellings, n=1, cutoff=0.6)
    return spellings[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for a misspelled word, or nothing."""
    found = closest(word, known)
    return f"; did you mean {found}?" if found is not None else ""


def did_you_mean_or_there_are(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for a misspelled word, or the first known words if none is close."""
    words = list(known)
    return did_you_mean(word, words) or f"; there {listed(words)}"


def listed(words: Sequence[str]) -> str:
    """Return "is A", "are A, B", or "are A, B, ... and 12 more"."""
    if not words:
        return "are none yet"
    shown = ", ".join(words[:_LISTED]) + (f" and {len(words) - _LISTED:,} more" if len(words) > _LISTED else "")
    return f"{'is' if len(words) == 1 else 'are'} {shown}"


def similar_file(file: Path) -> str:
    """Return "; did you mean ...?" if the folder of a missing file has one with a similar name, or nothing."""
    try:
        return did_you_mean(file.name, [entry.name for entry in file.parent.iterdir()])
    except OSError:
        return ""
