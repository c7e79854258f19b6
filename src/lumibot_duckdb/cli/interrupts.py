"""Ctrl-C and other signals that end a command, at moments when the work may stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from lumibot_duckdb.cli.errors import CommandError

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Remembers a first Ctrl-C inside a `with` block until `check` raises it. A second Ctrl-C stops at once."""

    def __init__(self, notice: str) -> None:
        """`notice` is printed on standard error at the first Ctrl-C."""
        self._notice = notice
        self._pressed = False

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed inside the block."""
        if self._pressed:
            raise KeyboardInterrupt

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        signal.signal(signal.SIGINT, self._before)
        print(f"\n{self._notice}", file=sys.stderr)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the work in a `with` block as Ctrl-C does, with exit code 128 + their number.

    A signal that the process ignores, as it does SIGHUP under `nohup`, stays ignored.
    """
    taken: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if not taken:  # a further signal must not stop the clean-up
            taken.append(number)
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, take)
    try:
        yield
    except BaseException:
        if taken:
            raise CommandError(f"stopped by {signal.Signals(taken[0]).name}", exit_code=128 + taken[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_interrupt(error: Exception) -> bool:
    """Return whether an error is the one that DuckDB raises when Ctrl-C stops a query."""
    return type(error).__name__ == "InterruptException" or str(error) == "Query interrupted"
