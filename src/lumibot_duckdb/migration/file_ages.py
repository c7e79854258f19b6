"""When a cache file's provider was asked, as far as the file can tell."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from lumibot_duckdb.storage.interface import EpochSeconds


def changed_at(path: Path) -> EpochSeconds:
    """Return when a file was changed last, to put files in order: the epoch's beginning if it is gone by now."""
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return 0


def written_at(path: Path, newest: EpochSeconds | None = None) -> datetime:
    """Return when a file was written (UTC), which is when its provider had answered.

    Never later than now, and never before its `newest` bar began: a file that claims that was given another time.
    """
    now = datetime.now(timezone.utc)
    written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    if newest is not None:
        written = max(written, datetime.fromtimestamp(newest, timezone.utc))
    return min(written, now)
