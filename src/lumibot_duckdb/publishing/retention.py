"""Removes the data of earlier snapshots, but not what another machine may be downloading."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.published.manifest import (
    DATA_PREFIX,
    MANIFEST,
    MOST_BYTES,
    is_data_name,
    read_manifest,
)
from lumibot_duckdb.storage.published.objects import ObjectStore, StoredObject
from lumibot_duckdb.storage.times import utc_now

GRACE = timedelta(days=1)
"""For how long data stays after the next snapshot was published: downloads of it have ended by then."""


def remove_old(objects: ObjectStore, keep: int) -> tuple[str, ...]:
    """Remove all but the newest `keep` data objects, and return the names of those that were removed.

    One stays if its successor is not older than `GRACE`, or if the manifest points to it: another machine may have
    published it meanwhile.
    """
    stored = [each for each in objects.objects(DATA_PREFIX) if is_data_name(each.name)]
    stored.sort(key=lambda each: (each.written_at, each.name))
    current = read_manifest(objects.get(MANIFEST, MOST_BYTES), objects.location, migrations.newest()).data
    old = [each.name for each in _superseded(stored[: max(len(stored) - keep + 1, 0)]) if each.name != current]
    for name in old:
        objects.delete(name)
    return tuple(old)


def _superseded(stored: list[StoredObject]) -> list[StoredObject]:
    """Return those of some objects, oldest first, whose successor is older than `GRACE`; the last has none."""
    before = utc_now() - GRACE
    return [each for each, following in pairwise(stored) if following.written_at < before]
