"""A lock in a process that may fork while another of its threads has it."""

from __future__ import annotations

import os
from threading import Lock


def lock_that_is_free_in_forks() -> Lock:
    """Return a lock that a forked process finds free, and what it guards whole. Nobody may fork while having it."""
    lock = Lock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
