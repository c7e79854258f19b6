"""How much memory this process holds, the most it ever held, and how that went over time."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from types import TracebackType


def resident_bytes() -> int:
    """Return the memory that the process holds now."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """Return the most memory that this program ever held.

    On Linux `ru_maxrss` starts from what the parent held when it started this process; the high-water mark of the
    program's own address space does not.
    """
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class MemoryCurve:
    """Notes the memory that the process holds, in a thread, within a `with`.

    `points` are (seconds since the start, bytes). There are at most `most`: when they are that many, every other one
    goes and the pauses between them double.
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
