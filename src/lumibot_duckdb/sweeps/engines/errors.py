"""The errors of clusters that users see."""

from __future__ import annotations

from lumibot_duckdb.sweeps.errors import SweepError


class EngineError(SweepError):
    """An engine cannot be used: it is not installed, does not answer, or was lost."""


class WorkerError(EngineError):
    """A worker cannot run the trials of a sweep as this machine would. The message says which, why and what helps."""
