"""The errors of analytics."""

from __future__ import annotations


class IndicatorError(ValueError):
    """An indicator is unknown, has a wrong parameter, or cannot be computed from the bars of a series."""


class MissingLibraryError(IndicatorError, ImportError):
    """An indicator needs a library that is not installed. The message names the extra that installs it."""
