"""What a process of `server.py` is started for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """The target of a server: a script, or `pickled` bytes of a strategy with its arguments, which follow the job.

    `settings` are environment variables that no `.env` file can override. `start` is that of `TrialSettings`.
    """

    script: str = ""
    arguments: tuple[str, ...] = ()
    is_module: bool = False
    strategy: str | None = None
    pickled: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    start: str = "auto"
