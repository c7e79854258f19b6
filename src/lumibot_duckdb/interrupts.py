"""Ctrl-C as a request to stop soon: a first one is remembered, a second one stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType


class Interrupts:
    """Remembers a first Ctrl-C inside a `with` block until `check` raises it. A second Ctrl-C stops at once.

    In other threads than the main one, which get no signals, it does nothing.
    """

    def __init__(self, notice: str) -> None:
        """`notice` is printed on standard error at the first Ctrl-C."""
        self._notice = notice
        self._is_active = False
        self.pressed = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._on_interrupt)
            self._is_active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_active:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed inside the block."""
        if self.pressed:
            raise KeyboardInterrupt

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT and callable(self._before):  # the process is to end: see `stopped_by_signals`
            self._before(number, frame)
            return
        if self.pressed:  # not `_before`: Lumibot's trader leaves a handler that only logs, for the rest of the process
            signal.default_int_handler(number, frame)
        self.pressed = True
        print(f"\n{self._notice}", file=sys.stderr)
