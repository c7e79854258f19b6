"""Whether this process can be forked here, and how a forked one ends with its parent."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Collection
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POOLS = {"polars": re.compile(r"polars-\d+")}
"""Libraries whose work a forked process would wait for in vain, and the names of the native threads that do it."""


def why_not_to_fork(own_threads: Collection[threading.Thread]) -> str:
    """Return why a process forked here might hang or crash; "" if nothing speaks against it.

    A forked process has no other thread than the one that forked. So it waits forever for a lock that another thread
    held, and for the work of other threads. `own_threads` are known to be harmless.
    """
    if sys.platform != "linux":
        return f"forked processes are not reliable on {sys.platform}"
    others = [each for each in threading.enumerate() if each not in own_threads and each is not threading.main_thread()]
    others = [each for each in others if each is not threading.current_thread()]
    if others:
        return f"the script has started threads: {', '.join(each.name for each in others)}"
    for name in _native_threads():
        for library, names in _POOLS.items():
            if names.fullmatch(name):
                return f"the script has used {library}, whose threads would be missing in a forked process"
    return ""


def _native_threads() -> list[str]:
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:
            continue  # it has just ended
    return names


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process, which `parent` has forked, as soon as its parent dies. Only on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_by(code: int) -> str:
    """Return what killed a process, given its negative exit code."""
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    memory = ", which the system sends when memory runs out" if name == "SIGKILL" else ""
    return f"was killed by {name}{memory}"


def kill_group(process: int) -> None:
    """Kill a process that leads a group, and the processes that it has started."""
    for kill in (os.killpg, os.kill):
        try:
            kill(process, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
