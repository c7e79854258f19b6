"""The errors of panels."""

from __future__ import annotations

from lumibot_duckdb.analytics.errors import AnalysisError


class PanelError(AnalysisError):
    """A panel has a wrong parameter, or its rows cannot be split as requested."""
