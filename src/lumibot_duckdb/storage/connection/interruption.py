"""Ctrl-C, at moments when the store is in a known state.

Python runs a signal handler between any two instructions, so a KeyboardInterrupt could leave a lock held or a lease
half taken. And DuckDB reports Ctrl-C as a RuntimeError. So inside a `deferred()` block the handler runs as
soon as the signal arrives, but what it raises is kept: it stops the running statement and is raised from there, from
the next `check()`, or at the end of the block.

Only the main thread is ever interrupted; in others, all this does nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, TypeVar

import duckdb

Answer = TypeVar("Answer")

# Waits are short, since some Python shells report Ctrl-C without a signal that would end a wait.
LOOK_SECONDS = 0.1
# An interrupt that comes before the query has begun is lost, so it is repeated until the query ends.
_REPEAT_SECONDS = 0.05


class _MainThread:
    """What is deferred in the main thread, which alone uses this."""

    depth = 0
    handler: Any = None  # the program's own, while ours is in its place
    raised: BaseException | None = None
    running: duckdb.DuckDBPyConnection | None = None


_main = _MainThread()


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


class deferred:  # noqa: N801 (a context manager that is used like a function)
    """Defer what the handler of Ctrl-C raises until the block ends, or until a `check()` in it."""

    def __enter__(self) -> None:
        self._counts = _is_main_thread() and (_main.depth > 0 or callable(signal.getsignal(signal.SIGINT)))
        if not self._counts:
            return
        if not _main.depth:
            _main.handler = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, _handle)
        _main.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._counts:
            return
        _main.depth -= 1
        if not _main.depth:
            signal.signal(signal.SIGINT, _main.handler)
            _main.handler = None
            check()


@contextmanager
def postponed() -> Iterator[None]:
    """Let a Ctrl-C that ends the block be raised by the next `check()`, or at the end of an outer `deferred()` block.

    For what follows a commit: in a `deferred()` block, the report of the commit comes first.
    """
    with deferred():
        try:
            yield
        except KeyboardInterrupt as stop:
            if not _is_main_thread() or not _main.depth:
                raise
            _main.raised = stop


def check() -> None:
    """Raise what the handler of Ctrl-C has raised in the meantime, if anything."""
    if _main.raised is not None and _is_main_thread():
        raised, _main.raised = _main.raised, None
        raise raised


@contextmanager
def stoppable(duck: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let Ctrl-C stop the statement that the block runs on `duck`."""
    if not _is_main_thread():
        yield
        return
    check()
    outer, _main.running = _main.running, duck
    try:
        yield
    except (duckdb.InterruptException, RuntimeError) as error:
        if is_interrupt(error):
            check()
            raise KeyboardInterrupt from error
        raise
    finally:
        _main.running = outer


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error is the one that DuckDB raises when Ctrl-C stops a statement."""
    return isinstance(error, duckdb.InterruptException) or (
        type(error) is RuntimeError and str(error) == "Query interrupted"
    )


def interruptibly(duck: duckdb.DuckDBPyConnection, query: Callable[[], Answer]) -> Answer:
    """Return what `query`, which uses `duck`, returns; on Ctrl-C stop it first, then raise what that raises.

    DuckDB checks for Ctrl-C between the pieces of work of the calling thread, but not while it waits for its other
    threads, so a query on two threads often cannot be stopped. Here it runs in a separate thread.
    """
    if not _is_main_thread():
        return query()
    answer: Future[Answer] = Future()
    with deferred():
        check()
        threading.Thread(target=_settle, args=(answer, query), name="lumibot-duckdb-query", daemon=True).start()
        while not answer.done():
            if _main.raised is not None:
                duck.interrupt()
            wait([answer], LOOK_SECONDS if _main.raised is None else _REPEAT_SECONDS)
        check()
    return answer.result()


def _settle(answer: Future[Answer], query: Callable[[], Answer]) -> None:
    try:
        answer.set_result(query())
    except BaseException as error:
        answer.set_exception(error)


def _handle(number: int, frame: FrameType | None) -> None:
    """Run the program's own handler, and keep what it raises. `number` may be that of another signal."""
    try:
        _main.handler(number, frame)
    except BaseException as error:
        _main.raised = error
        if _main.running is not None:
            _main.running.interrupt()
    finally:
        chosen = signal.getsignal(signal.SIGINT)
        if chosen is not _handle:  # it has chosen another handler for the next time
            _main.handler = chosen
            signal.signal(signal.SIGINT, _handle)
