"""Ctrl-C at the right moment: work that should not stop halfway says where it may."""

from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType


class Interrupts:
    """Takes note of a first Ctrl-C, in a `with` around the work; `check` raises it. A second one stops at once."""

    def __init__(self, notice: str) -> None:
        """`notice` is told on standard error at the first Ctrl-C."""
        self._notice = notice
        self._asked = False

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._take_note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was a Ctrl-C since the start of the work."""
        if self._asked:
            raise KeyboardInterrupt

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, self._before)
        print(f"\n{self._notice}", file=sys.stderr)


def is_interrupt(error: Exception) -> bool:
    """Tell whether an error is DuckDB's way to say that Ctrl-C stopped a query."""
    return type(error).__name__ == "InterruptException" or str(error) == "Query interrupted"
