"""A trial: one backtest of a sweep, with its own values of some parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lumibot_duckdb.results.records import Value


@dataclass(frozen=True)
class Span:
    """A part of the script's backtest, for walk-forward windows."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Trial:
    """What one trial runs.

    Attributes:
        number: Its number in the sweep, from 1.
        values: The parameters that it overrides.
        span: Another start and end of the backtest than the script's.
    """

    number: int
    values: Mapping[str, Value]
    span: Span | None = None


@dataclass(frozen=True)
class Limits:
    """What a trial may use at most: seconds of elapsed time, and bytes of memory of its process."""

    seconds: float | None = None
    memory: int | None = None
