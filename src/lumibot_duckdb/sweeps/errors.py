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


class TargetKilledError(TargetError):
    """The script was killed before its backtest."""


class UnknownParameterError(TargetError):
    """A trial sets a parameter that the strategy does not have."""


class HopelessSweepError(SweepError):
    """The first trials of a sweep all failed with the same error, so it was stopped. They are stored."""


class SweepRunningError(SweepError):
    """Another process runs the sweep."""


class SweepClosedError(SweepError):
    """A trial was killed because `close` was called."""

    def __init__(self) -> None:
        super().__init__("the trial was killed, because its sweep has ended")
