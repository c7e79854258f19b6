"""The errors of what a search is given, and suggestions for misspelled words."""

from __future__ import annotations

from collections.abc import Iterable


class SearchError(ValueError):
    """A search was given something that it cannot use. The message says what, where, and how to correct it."""


class ConditionError(SearchError):
    """A condition is no valid expression, or has no value for some combination of parameters."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for a misspelled word; if no known word is close, list those that there are."""
    from difflib import get_close_matches

    spellings = {each.casefold(): each for each in known}
    found = get_close_matches(word.casefold(), spellings, n=1, cutoff=0.6)
    if found:
        return f"; did you mean {spellings[found[0]]}?"
    return f"; known are {', '.join(spellings.values())}" if spellings else ""
