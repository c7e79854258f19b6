"""What the demo's script has to do."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "demo"
"""The source name of the demo's bars in its stores."""
SWEEP_NAME = "momentum"
"""The name of the demo's sweep."""
REQUESTS_FILE = "requests.json"
"""Written to the current folder: the seconds of each call, by request, such as "60 minute"."""


@dataclass(frozen=True)
class Job:
    """One backtest.

    `strategy` is a class in `demo.strategies`, `start` and `end` are ISO dates, and `files` is a folder with
    `<symbol>.parquet`.
    """

    strategy: str
    symbols: list[str]
    timestep: str
    start: str
    end: str
    files: str
