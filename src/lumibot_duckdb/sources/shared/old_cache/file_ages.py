"""When a cache file's provider was asked, as far as the file can tell."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from lumibot_duckdb.sources.shared.old_cache.mirror import marker_of
from lumibot_duckdb.storage.api import EpochSeconds


def changed_at(path: Path) -> EpochSeconds:
    """Return when a file was changed last, to put files in order: the epoch's beginning if it is gone by now."""
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return 0


def written_at(path: Path, newest: EpochSeconds | None = None) -> datetime:
    """Return when a file was written (UTC), which is when its provider had answered.

    Never later than now, and never before its `newest` bar began: a file that claims that was given another time. Of a
    file that may be a copy out of Lumibot's mirror, which has the time of the copying, just that is certain.
    """
    written = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    if newest is not None:
        began = datetime.fromtimestamp(newest, timezone.utc)
        written = began if marker_of(path).is_file() else max(written, began)
    return min(written, datetime.now(timezone.utc))
