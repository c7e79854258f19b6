"""Measures what a run costs: wall and CPU time, time per phase, memory, requests and bytes on disk."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time, thread_time

from lumibot_duckdb.comparison.http_counter import RequestCount
from lumibot_duckdb.comparison.locks import fork_safe_lock
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
    """What a run cost, in seconds and bytes.

    `phases` adds up to `seconds`. Neither includes the time spent on recording, which is `recording`. `memory` has
    points of (seconds since the start, bytes). `disk_before` and `disk_after` are the sizes of the side's cache.
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
    """Measures this process from construction on. Thread-safe."""

    def __init__(self) -> None:
        self._started = self._since = perf_counter()
        self._cpu_before = process_time()
        self._children_before = _children_seconds()
        self._phases = dict.fromkeys(PHASES, 0.0)
        self._phase = IMPORTS
        self._within: list[str] = []
        self._recording = 0
        self._excluded = self._cpu_excluded = 0.0
        self._lock = fork_safe_lock()
        self.disk_before = self.disk_after = 0
        self._curve = MemoryCurve()
        self._curve.__enter__()
        self._requests = RequestCount()
        self._requests.begin()

    def enter(self, phase: str) -> None:
        """Charge the time from now on to a phase, except for blocks `within` another."""
        with self._lock:
            self._charge()
            self._phase = phase

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Charge a block to a phase. If several overlap, the one that started last is charged."""
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
    def excluded(self) -> Iterator[None]:
        """Exclude a block, which belongs to the comparison and not to the backtest."""
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
                self._cpu_excluded += thread_time() - cpu_before

    def _charge(self) -> None:
        """Charge the time since the last change: to recording if any thread is recording."""
        now = perf_counter()
        if self._recording:
            self._excluded += now - self._since
        else:
            self._phases[self._within[-1] if self._within else self._phase] += now - self._since
        self._since = now

    def stop(self) -> Costs:
        """Stop measuring and return the costs."""
        self.enter(AFTER)
        seconds = self._since - self._started
        cpu = process_time() - self._cpu_before + _children_seconds() - self._children_before
        self._curve.__exit__(None, None, None)
        return Costs(
            seconds=seconds - self._excluded,
            cpu_seconds=cpu - self._cpu_excluded,
            recording=self._excluded,
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


def bytes_in(folder: Path, without: Collection[Path] = ()) -> int:
    """Return the total size of the files in a folder, except for those in the subfolders `without`."""
    total = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(parent, name) not in without]
        for name in names:
            try:
                total += Path(parent, name).lstat().st_size
            except FileNotFoundError:
                continue  # deleted in the meantime
    return total
