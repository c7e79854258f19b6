"""Lets a whole process live in simulated time, in which nothing takes time but waiting.

While a thread works or a request is being answered, the clock stands still. When all threads wait, it moves to the
moment for which the first of them waits. So hours of a program that mostly waits pass in seconds, and a slow or busy
machine changes nothing.

`time.time` and `datetime.now` are moved by time-machine. `time.sleep`, `time.monotonic` and the timeouts of everything
that is made of `threading.Condition` (events, queues, futures, APScheduler) are replaced, so call `live_in` before
modules import these functions. Sockets, processes and asyncio keep real time.

libfaketime cannot do this: Python waits with `sem_clockwait`, which it does not replace, for a moment of the clock that
it does.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import time_machine

from live.trader.clock_page import ClockPage

COARSE = 0.5
"""Waits that end within so many seconds end together; APScheduler skips jobs that are a second late."""
LONGEST = 60.0

_LOOK = 0.0002
_TIMES_OF_WORK = 100_000  # nanoseconds of CPU time between two looks
_TASKS = "/proc/self/task"

_real_sleep = time.sleep
_real_monotonic = time.monotonic
_real_lock = threading.Lock


class SimulatedTime:
    """Moves the clock while this process waits."""

    def __init__(self, page: ClockPage) -> None:
        self.page = page
        self._guard = _real_lock()
        self._alarms: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()
        self._busy = 0
        self._answered = threading.local()
        self._began = page.now
        self._ahead = page.ahead
        self._traveller = time_machine.travel(page.now + page.ahead, tick=False).start()

    def start(self) -> None:
        """Let time pass from now on."""
        threading.Thread(target=self._run, name="simulated-time", daemon=True).start()

    # -- waiting ---------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Return a time that begins with this process, as `time.monotonic` does."""
        return 1_000.0 + self.page.now - self._began

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        lock = _real_lock()
        lock.acquire()
        self.acquire(lock, max(0.0, seconds))

    def acquire(self, lock: Any, timeout: float) -> bool:
        """Acquire a lock that another thread may release; return False if the time was over before."""
        if lock.acquire(False):
            return True
        answered = self._pause_answer()
        alarm = _Alarm(lock)
        with self._guard:
            heapq.heappush(self._alarms, (self.page.now + timeout, next(self._numbers), alarm))
        try:
            lock.acquire()
        finally:
            with self._guard:
                alarm.is_over = True
            self._resume_answer(answered)
        return not alarm.rang

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Stop the clock while another process answers a request of this thread."""
        before = getattr(self._answered, "is_waiting", False)
        self._resume_answer(not before)
        try:
            yield
        finally:
            if not before:
                self._pause_answer()

    def _pause_answer(self) -> bool:
        is_waiting = bool(getattr(self._answered, "is_waiting", False))
        if is_waiting:
            self._answered.is_waiting = False
            with self._guard:
                self._busy -= 1
        return is_waiting

    def _resume_answer(self, is_waiting: bool) -> None:
        if is_waiting:
            self._answered.is_waiting = True
            with self._guard:
                self._busy += 1

    # -- the clock -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            if self.page.ahead != self._ahead:
                self._ahead = self.page.ahead
                self._tell()
            if self.page.now >= self.page.limit:
                _real_sleep(0.001)
            elif self._is_idle():
                self._go_on()

    def _is_idle(self) -> bool:
        worked = time.process_time_ns() - time.thread_time_ns()
        _real_sleep(_LOOK)
        if self._busy or time.process_time_ns() - time.thread_time_ns() - worked > _TIMES_OF_WORK:
            return False
        return not _is_any_thread_running(threading.get_native_id())

    def _go_on(self) -> None:
        with self._guard:
            if self._busy:
                return
            while self._alarms and self._alarms[0][2].is_over:
                heapq.heappop(self._alarms)
            now = self.page.now
            first = self._alarms[0][0] if self._alarms else now + LONGEST
            now = min(max(first, now + COARSE), now + LONGEST, self.page.limit)
            self.page.now = now
            self._tell()
            while self._alarms and self._alarms[0][0] <= now:
                heapq.heappop(self._alarms)[2].ring()

    def _tell(self) -> None:
        self._traveller.move_to(self.page.now + self._ahead)


class _Alarm:
    """Releases a lock when its time has come."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self.is_over = False
        self.rang = False

    def ring(self) -> None:
        if self.is_over:
            return
        try:
            self._lock.release()
        except RuntimeError:  # another thread has just released it
            return
        self.rang = True


class _TimedLock:
    """A lock on which `threading.Condition` waits, in simulated time."""

    def __init__(self, simulated: SimulatedTime) -> None:
        self._simulated = simulated
        self._lock = _real_lock()
        self.release = self._lock.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not blocking or timeout < 0:
            return self._lock.acquire(blocking)
        return self._simulated.acquire(self._lock, timeout)


def live_in(path: Path) -> SimulatedTime:
    """Make this process live in the simulated time of a page, which stands still until `start`."""
    simulated = SimulatedTime(ClockPage(path))
    modules: Any = (threading, queue, time)
    for module, name in zip(modules, ("_time", "time", "monotonic"), strict=True):
        setattr(module, name, simulated.monotonic)
    time.sleep = simulated.sleep
    conditions: Any = threading
    conditions._allocate_lock = lambda: _TimedLock(simulated)
    loops: Any = asyncio.BaseEventLoop
    loops.time = lambda loop: _real_monotonic()
    return simulated


def _is_any_thread_running(besides: int) -> bool:
    for task in os.listdir(_TASKS):  # noqa: PTH208 (pathlib takes several times as long)
        if int(task) != besides:
            try:
                with open(f"{_TASKS}/{task}/stat", "rb") as file:  # noqa: PTH123
                    state = file.read().rpartition(b")")[2][1:2]
            except OSError:  # it has just ended
                return True
            if state in b"RD":
                return True
    return False
