"""Names of a sweep's files and folders."""

from __future__ import annotations

import hashlib
import re

_MOST_BYTES = 150  # file systems allow 255, and other parts follow


def file_name(sweep: str) -> str:
    """Return the part of a file name that stands for a sweep; no two sweeps have the same."""
    usable = re.sub(r"^\.|[^\w.-]", "_", sweep)
    usable = usable.encode()[:_MOST_BYTES].decode(errors="ignore")
    if usable != sweep:  # another name may look the same
        usable += f"-{hashlib.sha256(sweep.encode()).hexdigest()[:8]}"
    return usable
