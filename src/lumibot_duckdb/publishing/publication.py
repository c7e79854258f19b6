"""Publishes a snapshot: first the data under a new name, then the manifest that points to it.

So readers see the old snapshot or the new one, each whole. If two machines publish at once, the last manifest counts,
and the data of the other is whole too.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from lumibot_duckdb import __version__
from lumibot_duckdb.publishing.retention import remove_old
from lumibot_duckdb.storage.api import AsOf, OnBytes, OnRows
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.errors import SnapshotGoneError
from lumibot_duckdb.storage.location import FILE_NAME
from lumibot_duckdb.storage.published.cache import digest_of
from lumibot_duckdb.storage.published.manifest import MANIFEST, MOST_BYTES, Manifest, data_name
from lumibot_duckdb.storage.published.objects import ObjectStore
from lumibot_duckdb.storage.published.targets import is_s3, objects_at
from lumibot_duckdb.storage.times import utc_now
from lumibot_duckdb.storage.upkeep.backup import merge_spooled
from lumibot_duckdb.storage.upkeep.published_copy import write_published_copy
from lumibot_duckdb.storage.upkeep.replacement import unfinished


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What was published.

    Attributes:
        location: where: the URL or the path of the folder.
        data: the name of the new object.
        bytes: its size.
        sha256: its digest.
        as_of: the moment whose bars it has (UTC).
        series: how many series it has.
        rows: how many bars.
        spooled_bars: how many bars of downloads wait in the spool, so that it lacks them.
        removed: the names of earlier objects that were removed.
    """

    location: str
    data: str
    bytes: int
    sha256: str
    as_of: datetime
    series: int
    rows: int
    spooled_bars: int
    removed: tuple[str, ...]


def publish(
    store: OpenStore,
    target: str,
    series: Collection[int] | None,
    *,
    as_of: AsOf | None,
    keep: int | None,
    on_rows: OnRows | None,
    on_bytes: OnBytes | None,
) -> PublishReport:
    """Publish the series of some ids (None: all). See `Publishing.publish`."""
    if keep is not None and keep < 1:
        raise ValueError(f"keep must be at least 1, not {keep}: the newest snapshot is always kept")
    objects = objects_at(target)
    if not is_s3(target):
        _refuse_folder_of_store(Path(objects.location), store.path)
    store.require()
    _check_access(objects)
    spooled_bars = merge_spooled(store)
    untouched = f"nothing was published to {objects.location}"
    beside = _place_of_copy(store.path)
    with unfinished(beside, "copying") as file:
        with writing(untouched, needs=(store.path.stat().st_size, beside.parent)):
            copy = write_published_copy(store, file, objects.location, series=series, as_of=as_of, on_rows=on_rows)
        digest, size = digest_of(file), file.stat().st_size
        name = data_name(utc_now(), digest, uuid.uuid4().hex[:8])
        objects.put_file(name, file, on_bytes)
    versions = {"package": __version__, "duckdb": duckdb.__version__}
    manifest = Manifest(name, size, digest, copy.as_of, copy.schema, copy.series, copy.rows, **versions)
    objects.put(MANIFEST, manifest.to_json())
    removed = () if keep is None else remove_old(objects, keep)
    facts = (copy.as_of, copy.series, copy.rows)
    return PublishReport(objects.location, name, size, digest, *facts, spooled_bars, removed)


def _place_of_copy(store: Path) -> Path:
    """Return a path beside which the copy is made: that of the store, or one for temporary files if it is read-only."""
    return store if os.access(store.parent, os.W_OK) else Path(tempfile.gettempdir()) / store.name


def _check_access(objects: ObjectStore) -> None:
    """Raise before the work begins if the target cannot be reached."""
    with suppress(SnapshotGoneError):  # nothing was published there yet
        objects.get(MANIFEST, MOST_BYTES)


def _refuse_folder_of_store(folder: Path, store: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: publish to a folder or to s3://bucket/prefix")
    if folder == store.resolve().parent or (folder / FILE_NAME).exists():
        raise ValueError(f"{folder} already has a store, which a snapshot would hide: publish to another folder")
