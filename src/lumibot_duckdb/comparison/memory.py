"""The memory of this process: now, at its peak, and over time."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from types import TracebackType


def resident_bytes() -> int:
    """Return the resident memory of the process in bytes."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """Return the peak resident memory of this program in bytes.

    On Linux, `ru_maxrss` of a new process starts at its parent's value, so the high-water mark of the address space is
    used instead.
    """
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class MemoryCurve:
    """Samples the memory of the process in a thread, for the duration of a `with` block.

    `points` are (seconds since the start, bytes). When there are `most` of them, every other one is dropped and the
    sampling interval doubles.
    """

    def __init__(self, pause: float = 0.05, most: int = 2_000) -> None:
        self.points: list[tuple[float, int]] = []
        self._pause = pause
        self._most = most
        self._ended = Event()
        self._thread = Thread(target=self._note, daemon=True, name="memory over time")

    def __enter__(self) -> MemoryCurve:
        self._started = perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _note(self) -> None:
        while True:
            self.points.append((round(perf_counter() - self._started, 3), resident_bytes()))
            if len(self.points) >= self._most:
                del self.points[1::2]
                self._pause *= 2
            if self._ended.wait(self._pause):
                return
