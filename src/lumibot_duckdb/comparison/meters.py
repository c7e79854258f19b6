"""What a run costs: wall and CPU time, time a phase, memory, requests and bytes on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, thread_time

from lumibot_duckdb.comparison.http_counter import RequestCount
from lumibot_duckdb.comparison.locks import lock_that_is_free_in_forks
from lumibot_duckdb.comparison.memory import MemoryCurve, peak_resident_bytes

IMPORTS = "imports"
BEFORE = "the script, before its backtests"
FIRST_BARS = "the first bars of each asset"
REQUESTS = "all other bars, prices and quotes"
LOOP = "the rest of the backtests"
ANALYSIS = "statistics and reports"
AFTER = "the script, between and after its backtests"
PHASES = (IMPORTS, BEFORE, FIRST_BARS, REQUESTS, LOOP, ANALYSIS, AFTER)


@dataclass(frozen=True)
class Costs:
    """What a run cost. Seconds, and bytes.

    `phases` adds up to `seconds`. The time that recording took is in neither; it is `recording`. `memory` is
    (seconds since the start, bytes held). `disk_before` and `disk_after` are what the side's cache had on disk.
    """

    seconds: float
    cpu_seconds: float
    recording: float
    phases: dict[str, float]
    peak_bytes: int
    memory: list[tuple[float, int]]
    requests: dict[str, int]
    disk_before: int
    disk_after: int


class Meters:
    """Measures one process from the moment this is made. Threads may use it at the same time."""

    def __init__(self) -> None:
        self._started = self._since = perf_counter()
        self._cpu_before = process_time()
        self._children_before = _children_seconds()
        self._phases = dict.fromkeys(PHASES, 0.0)
        self._phase = IMPORTS
        self._within: list[str] = []
        self._recording = 0
        self._apart = self._cpu_apart = 0.0
        self._lock = lock_that_is_free_in_forks()
        self.disk_before = self.disk_after = 0
        self._curve = MemoryCurve()
        self._curve.__enter__()
        self._requests = RequestCount()
        self._requests.begin()

    def enter(self, phase: str) -> None:
        """Charge what comes next to a phase, but for what is `within` another."""
        with self._lock:
            self._charge()
            self._phase = phase

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Charge a block to a phase. Of several at a time, the one that was begun last is charged."""
        with self._lock:
            self._charge()
            self._within.append(phase)
        try:
            yield
        finally:
            with self._lock:
                self._charge()
                self._within.remove(phase)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Take off the time of a block, which is spent on comparing and not on the backtest."""
        with self._lock:
            self._charge()
            self._recording += 1
        cpu_before = thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._charge()
                self._recording -= 1
                self._cpu_apart += thread_time() - cpu_before

    def _charge(self) -> None:
        """Charge the time since the last change: to recording while any thread is at that."""
        now = perf_counter()
        if self._recording:
            self._apart += now - self._since
        else:
            self._phases[self._within[-1] if self._within else self._phase] += now - self._since
        self._since = now

    def stop(self) -> Costs:
        """End and return the costs."""
        self.enter(AFTER)
        seconds = self._since - self._started
        cpu = process_time() - self._cpu_before + _children_seconds() - self._children_before
        self._curve.__exit__(None, None, None)
        return Costs(
            seconds=seconds - self._apart,
            cpu_seconds=cpu - self._cpu_apart,
            recording=self._apart,
            phases=self._phases,
            peak_bytes=peak_resident_bytes(),
            memory=self._curve.points,
            requests=dict(self._requests.by_host),
            disk_before=self.disk_before,
            disk_after=self.disk_after,
        )


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def bytes_in(folder: Path, without: Path | None = None) -> int:
    """Return the bytes of all files in a folder, but for those in the folder `without`. No file is opened."""
    total = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(parent, name) != without]
        for name in names:
            try:
                total += Path(parent, name).lstat().st_size
            except FileNotFoundError:
                continue  # gone meanwhile
    return total
