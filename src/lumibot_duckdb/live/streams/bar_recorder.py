"""What a recorder of streams needs of the writer of live bars."""

from __future__ import annotations

from typing import Any, Protocol

from lumibot_duckdb.live.live_bars import LiveBars


class BarRecorder(Protocol):
    """Writes bars to the store in the background, as `live.recording.Recorder` does."""

    @property
    def counts(self) -> Any:
        """How many bars were recorded, written, spooled, dropped, or failed, and how many are waiting."""

    def record(self, live_bars: LiveBars) -> None:
        """Take bars. It never blocks or raises."""

    def flush(self, timeout: float) -> Any:
        """Wait until all bars that were taken have been written."""

    def close(self, timeout: float) -> Any:
        """Write all bars that were taken, and end."""
