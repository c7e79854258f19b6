"""Reads of the store that have a deadline, because trading does not wait for the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class StoreLateError(Exception):
    """The store did not answer in time, or an earlier read that it did not answer in time still runs."""


class TimedReads:
    """Runs reads in threads that nobody waits for longer than until their deadline. Thread-safe.

    A read that is late runs on in its thread. As long as it does, no other is begun: a store that is locked for a
    minute then costs a strategy one deadline, however many symbols it reads.

    Parameters:
        seconds: how long a read may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._late: threading.Thread | None = None

    def result_of(self, read: Callable[[], Result]) -> Result:
        """Return what `read` returns, or raise what it raises. Raises `StoreLateError`."""
        late = self._late
        if late is not None and late.is_alive():
            raise StoreLateError("an earlier read of the store has not ended yet")
        work = _Work(read)
        thread = threading.Thread(target=work.run, name="lumibot-duckdb-warm-up", daemon=True)
        thread.start()
        if not work.done.wait(self._seconds):
            self._late = thread
            raise StoreLateError(f"the store did not answer within {self._seconds:g} seconds")
        return work.result()


class _Work(Generic[Result]):
    """A call in another thread: its result, or its exception."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self.done = threading.Event()
        self._call = call
        self._results: list[Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._results[0]
