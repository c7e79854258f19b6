"""The errors of analytics."""

from __future__ import annotations


class AnalysisError(ValueError):
    """An analysis has a wrong parameter, or cannot be made of the bars of some series."""


class IndicatorError(AnalysisError):
    """An indicator is unknown, has a wrong parameter, or cannot be computed from the bars of a series."""


class MissingLibraryError(IndicatorError, ImportError):
    """An analysis needs a library that is not installed. The message names the extra that installs it."""
