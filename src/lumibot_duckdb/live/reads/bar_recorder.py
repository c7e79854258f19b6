"""What live reads expect of the recorder."""

from __future__ import annotations

from typing import Any, Protocol

from lumibot_duckdb.live.live_bars import LiveBars


class BarRecorder(Protocol):
    """Stores bars in the background."""

    @property
    def counts(self) -> Any:
        """Numbers of bars: `recorded`, `written`, `waiting`, `spooled`, `dropped` and `failed`."""

    def record(self, live_bars: LiveBars) -> None:
        """Take bars to store. Never blocks, never raises."""

    def flush(self, timeout: float | None = None) -> Any:
        """Wait until everything recorded so far is stored, or for `timeout` seconds."""

    def close(self, timeout: float | None = None) -> bool:
        """Store what waits, for at most `timeout` seconds, and end."""

    def start_over(self) -> None:
        """Be as at first, in a forked process."""
