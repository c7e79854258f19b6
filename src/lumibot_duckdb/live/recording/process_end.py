"""Closes recorders before the process ends, and empties their copies in a forked child.

Recorders are closed by SIGTERM only if it would end the program at once: a program that handles it ends in its own way.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 (pyarrow needs it, and it cannot be imported any more at the end)
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Protocol
from weakref import WeakSet

# Imported first, since what is registered last runs first: the store is closed after what is written at the end.
from lumibot_duckdb.storage.connection import store_connection  # noqa: F401

_SECONDS = 5.0
"""How long the end of a process waits. Service managers wait for ten seconds or more after SIGTERM."""


class _Recorder(Protocol):
    def close(self, timeout: float | None = None) -> bool: ...

    def start_over(self) -> None: ...


_open: WeakSet[_Recorder] = WeakSet()
_worker = 0  # the process in which `close_with_worker` did its work


def close_then(recorder: _Recorder) -> None:
    """Close a recorder when the process ends, and let it start over in forked children."""
    _open.add(recorder)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def forget(recorder: _Recorder) -> None:
    """Do nothing about a recorder that is closed."""
    _open.discard(recorder)


def close_with_worker() -> None:
    """Close the recorders when this worker of `multiprocessing` ends, which calls no functions of `atexit`.

    To be called in the worker: it forgets what was registered before the fork.
    """
    global _worker
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or _worker == os.getpid():
        return
    _worker = os.getpid()
    util.Finalize(None, close_all, exitpriority=0)


def close_all() -> None:
    """Close the recorders that are open."""
    deadline = time.monotonic() + _SECONDS
    for recorder in list(_open):
        recorder.close(max(0.0, deadline - time.monotonic()))


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would end the process while the first closes
    try:
        close_all()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _after_fork() -> None:
    for recorder in list(_open):
        recorder.start_over()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
