"""The memory that a process does not share with others, and its CPU time."""

from __future__ import annotations

from contextlib import suppress

from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes


def own_bytes(process: int | None = None) -> int | None:
    """Return the memory that only one process uses (None: this one), in bytes; None if it is not known.

    Of a forked process, this is without what it still shares with its parent.
    """
    import psutil  # type: ignore[import-untyped]

    with suppress(psutil.Error, AttributeError, OSError):
        return int(psutil.Process(process).memory_full_info().uss)
    return None


def memory_peaks() -> tuple[int, int | None]:
    """Return how much memory this process needed at most, in bytes: in all, and of its own.

    The second is an estimate: the memory of its own now, and by how much the peak was above the present use.
    """
    peak, own = peak_resident_bytes(), own_bytes()
    return peak, None if own is None else own + max(peak - resident_bytes(), 0)


def cpu_seconds_of(process: int | None) -> float:
    """Return the CPU time of a process; 0 if it has ended."""
    import psutil

    with suppress(psutil.Error):
        used = psutil.Process(process).cpu_times()
        return float(used.user + used.system)
    return 0.0
