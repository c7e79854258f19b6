"""Opens a published snapshot: the manifest says which data is current, and the cache has it or gets it.

A process sees one snapshot of a location until it ends, even if another is published meanwhile; so do the processes
that it starts with the path of the file.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime, timezone
from pathlib import Path

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnBytes
from lumibot_duckdb.storage.downloaded_snapshot import snapshot_at
from lumibot_duckdb.storage.errors import (
    PublishedSnapshotError,
    SnapshotGoneError,
    StorageError,
    StoreDamagedError,
    StoreVersionError,
)
from lumibot_duckdb.storage.published import overlay
from lumibot_duckdb.storage.published.cache import SnapshotCache
from lumibot_duckdb.storage.published.download import download
from lumibot_duckdb.storage.published.manifest import MANIFEST, MOST_BYTES, Manifest, read_manifest
from lumibot_duckdb.storage.published.objects import ObjectStore
from lumibot_duckdb.storage.published.settings import OFFLINE, OVERLAY, SnapshotSettings
from lumibot_duckdb.storage.published.targets import objects_at
from lumibot_duckdb.storage.upkeep.other_file import opened

logger = logging.getLogger(__name__)

_guard = threading.Lock()
_opened: dict[tuple[str, SnapshotSettings], Path] = {}


def _after_fork() -> None:
    """Let a forked child open snapshots, even if another thread of its parent was downloading one."""
    global _guard
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def open_published(given: str, settings: SnapshotSettings, cache: SnapshotCache, on_bytes: OnBytes | None) -> Path:
    """Return the local file of the snapshot at a URL or in a folder: read-only, or the overlay that begins with it.

    Raises ValueError for an unusable URL, `PublishedSnapshotError`, `StoreVersionError`, `StoreWriteError`.
    """
    objects = objects_at(given)
    with _guard:
        known = _opened.get((objects.location, settings))
        if known is None:
            manifest = remembered(objects, cache) if settings.offline else current(objects, cache)
            known = _local_file(objects, manifest, settings, cache, on_bytes)
            _opened[objects.location, settings] = known
        return known


def open_snapshot_of(given: str, manifest: bytes, cache: SnapshotCache) -> Path:
    """Return the local file of the snapshot of a manifest, even if others were published to its location since."""
    objects = objects_at(given)
    wanted = read_manifest(manifest, objects.location, migrations.newest())
    return cache.held(wanted) or _once(objects, wanted, cache, None)


def remembered_manifest(file: Path, cache: SnapshotCache) -> bytes | None:
    """Return the manifest of the file of a snapshot; None if a later one of its location was opened since."""
    snapshot = snapshot_at(file)
    content = None if snapshot is None else cache.remembered(snapshot.location)
    if snapshot is None or content is None:
        return None
    manifest = read_manifest(content, snapshot.location, migrations.newest())
    return content if cache.held(manifest) == file else None


def _local_file(
    objects: ObjectStore, manifest: Manifest, settings: SnapshotSettings, cache: SnapshotCache, on_bytes: OnBytes | None
) -> Path:
    if settings.overlay is not None:
        existing = overlay.existing(settings.overlay, manifest)
        if existing is not None:
            return existing
    elif manifest.schema < migrations.newest():
        raise StoreVersionError(
            f"the snapshot at {objects.location} was published by an older release of lumibot-duckdb "
            f"({manifest.package}; schema {manifest.schema}, this release reads {migrations.newest()}). It is only "
            f"read, so it cannot be upgraded: publish it again with this release, or set {OVERLAY} to a folder for a "
            "copy, which is upgraded"
        )
    file = cache.held(manifest)
    if file is None:
        if settings.offline:
            raise _not_here(objects.location)
        file = _downloaded(objects, manifest, cache, on_bytes)
    if settings.overlay is None:
        return file
    return overlay.begun(settings.overlay, manifest, file, objects.location, on_bytes)


def current(objects: ObjectStore, cache: SnapshotCache) -> Manifest:
    """Return the manifest of a location, and remember it."""
    manifest = read_manifest(objects.get(MANIFEST, MOST_BYTES), objects.location, migrations.newest())
    cache.remember(objects.location, manifest)
    return manifest


def remembered(objects: ObjectStore, cache: SnapshotCache) -> Manifest:
    """Return the manifest of a location as it was when it was last requested."""
    content = cache.remembered(objects.location)
    if content is None:
        raise _not_here(objects.location)
    return read_manifest(content, objects.location, migrations.newest())


def _not_here(location: str) -> PublishedSnapshotError:
    return PublishedSnapshotError(
        f"{location} was not downloaded to this machine yet, or was removed from the cache, and {OFFLINE} is set: open "
        "it once without that"
    )


def _downloaded(objects: ObjectStore, manifest: Manifest, cache: SnapshotCache, on_bytes: OnBytes | None) -> Path:
    """Download the data of a manifest, or of the next one if it is removed meanwhile."""
    try:
        return _once(objects, manifest, cache, on_bytes)
    except SnapshotGoneError:
        newer = current(objects, cache)
        if newer.data == manifest.data:
            raise
        logger.info("%s was replaced by %s while it was downloaded", manifest.data, newer.data)
        return cache.held(newer) or _once(objects, newer, cache, on_bytes)


def _once(objects: ObjectStore, manifest: Manifest, cache: SnapshotCache, on_bytes: OnBytes | None) -> Path:
    waiting = False

    def on_wait(arrived: int) -> None:
        nonlocal waiting
        if not waiting:
            logger.info("another process is downloading %s; waiting for it", objects.location)
        waiting = True
        if on_bytes is not None:
            on_bytes(arrived, manifest.size)

    with cache.downloading(manifest, on_wait) as partial:
        file = cache.held(manifest)  # which another process may have downloaded meanwhile
        if file is not None:
            return file
        cache.make_room(manifest.size, partial)
        download(objects, manifest, partial, on_bytes)
        try:
            _check(partial, manifest, objects.location)
        except StorageError:
            partial.unlink(missing_ok=True)
            raise
        file = cache.add(partial, manifest, objects.location)
    at = manifest.as_of.astimezone(timezone.utc)
    logger.info("downloaded %s as of %s (%.1f MB)", objects.location, _minute(at), manifest.size / 1e6)
    return file


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _check(file: Path, manifest: Manifest, location: str) -> None:
    """Raise unless a file is a published store of the schema in the manifest."""
    try:
        with opened(file) as cursor:
            state = migrations.state(cursor)
    except StoreDamagedError:
        state = migrations.StoreState(0, "")
    if not state.published or state.schema_version != manifest.schema:
        raise PublishedSnapshotError(
            f"{location}/{manifest.data} is no store that was published by lumibot-duckdb. Nothing was kept; publish "
            "the snapshot again"
        )
