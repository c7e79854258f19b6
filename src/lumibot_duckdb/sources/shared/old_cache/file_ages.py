"""The age of a cache file's data, as far as the file's modification time shows it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from lumibot_duckdb import clock
from lumibot_duckdb.sources.shared.old_cache.mirror import marker_of
from lumibot_duckdb.storage.api import EpochSeconds


def changed_at(path: Path) -> EpochSeconds:
    """Return a file's modification time, for sorting; 0 if the file has been deleted in the meantime."""
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return 0


def written_at(path: Path, newest: EpochSeconds | None = None) -> datetime:
    """Return when a file was written (UTC), which is when its provider answered.

    The result is never later than now, and never earlier than the start of the `newest` bar, because an earlier
    modification time must be wrong. A file that may be a copy from Lumibot's mirror has the time of the copying, so for
    such a file the start of the newest bar is returned.
    """
    written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    if newest is not None:
        began = datetime.fromtimestamp(newest, timezone.utc)
        written = began if marker_of(path).is_file() else max(written, began)
    return min(written, clock.utc_now())
