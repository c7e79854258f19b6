"""A lock for processes that may fork while another thread holds it."""

from __future__ import annotations

import os
from threading import Lock


def fork_safe_lock() -> Lock:
    """Return a lock that is free, with consistent data behind it, in a forked process. Its holder must not fork."""
    lock = Lock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
