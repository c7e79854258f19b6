"""Ctrl-C and other signals that end a command, at moments when the work may stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lumibot_duckdb.cli.errors import CommandError

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the work in a `with` block as Ctrl-C does, with exit code 128 + their number.

    They run the handler of Ctrl-C, so what defers that defers them, too. A signal that the process ignores, as it does
    SIGHUP under `nohup` and Ctrl-C in the background of a script, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # it gets no signals
        return
    taken: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if taken:  # a further signal must not stop the clean-up
            return
        taken.append(number)
        on_interrupt = signal.getsignal(signal.SIGINT)
        if callable(on_interrupt):
            on_interrupt(number, frame)
        else:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    if before[signal.SIGINT] is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _only_others)
    for number in _ENDING:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, take)
    try:
        yield
    except BaseException as error:
        if taken:
            message = f"stopped by {signal.Signals(taken[0]).name}{_outcome(error)}"
            raise CommandError(message, exit_code=128 + taken[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def one_change(what: str = "the store is") -> Iterator[None]:
    """Let what stops the block say whether it changed the store, or `what`, which it does in one transaction."""
    from lumibot_duckdb.storage.connection.interruption import deferred
    from lumibot_duckdb.storage.partial_work import partial_work

    with partial_work(f"{what} unchanged") as work, deferred():
        yield
        work.outcome = f"{what} changed as requested"


def interrupted(error: BaseException) -> CommandError:
    """Return the error of a command that Ctrl-C stopped."""
    return CommandError(f"interrupted{_outcome(error)}", exit_code=130)


def _outcome(error: BaseException) -> str:
    """Return what a KeyboardInterrupt says about the work that it stopped."""
    return f": {error}" if isinstance(error, KeyboardInterrupt) and str(error) else ""


def _only_others(number: int, frame: FrameType | None) -> None:
    """Handle Ctrl-C in a process that ignores it, so that other signals can stop it in the same way."""
    if number != signal.SIGINT:
        raise KeyboardInterrupt


def is_interrupt(error: Exception) -> bool:
    """Return whether an error is the one that DuckDB raises when Ctrl-C stops a query."""
    return type(error).__name__ == "InterruptException" or str(error) == "Query interrupted"
