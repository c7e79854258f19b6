"""The errors of sweeps that users see."""

from __future__ import annotations


class SweepError(Exception):
    """A sweep cannot run; the message says why, and what helps."""


class TargetError(SweepError):
    """The script or strategy of a sweep cannot be backtested as it is.

    `details` has the traceback of the script and the last lines of its output, without known keys; "" if there are
    none.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message, details)
        self.details = details

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownParameterError(TargetError):
    """A trial sets a parameter that the strategy does not have."""


class AbandonedError(SweepError):
    """The sweep of a trial was stopped, and the trial was killed."""


class SweepRunningError(SweepError):
    """Another process runs the sweep."""
