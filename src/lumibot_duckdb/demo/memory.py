"""How much memory this process holds, and the most it ever held."""

from __future__ import annotations

import sys
from pathlib import Path


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
