"""Backups: copies of the whole store in another file, made while others read and write.

A backup has every version, not only the current ones. It is copied bar by bar, as by a compaction, and not byte by
byte: that would keep writers waiting for as long as it takes to copy the file, and copy a damaged block unnoticed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnRows
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    StoreBusyError,
    StoreDamagedError,
    StoreVersionError,
    StoreWriteError,
)
from lumibot_duckdb.storage.partial_work import PartialWork, partial_work
from lumibot_duckdb.storage.upkeep.copy_target import copy_target
from lumibot_duckdb.storage.upkeep.other_file import opened
from lumibot_duckdb.storage.upkeep.replacement import put_in_place, unfinished
from lumibot_duckdb.storage.upkeep.store_copy import all_versions, copy_most, copy_rest, new_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup has. `spooled_bars` could not be merged into the store first, so it lacks them."""

    path: str
    bytes: int
    series: int
    rows: int
    spooled_bars: int


def backup(
    store: OpenStore, path: str | os.PathLike[str], *, replace: bool = False, on_rows: OnRows | None = None
) -> BackupReport:
    """Copy the whole store to a new file at `path`, or in place of the file that is there."""
    target = copy_target(path, store.path)
    store.require()
    _check_existing(store, target, replace=replace)
    spooled_bars = merge_spooled(store)
    with copying(store.path, target) as work, unfinished(target, "copying") as file, deferred():
        with new_file(file) as new:
            copied = copy_most(store.connection, new, all_versions, on_rows)
            with store.connection.unchanging() as live:
                done = copy_rest(new, live, all_versions, copied)
            new.detach()
        _check_existing(store, target, replace=replace)
        put_in_place(file, target)
        work.outcome = f"{target} is complete"
        return BackupReport(str(target), target.stat().st_size, done.series, done.rows, spooled_bars)


@contextmanager
def copying(store: Path, target: Path) -> Iterator[PartialWork]:
    """Yield work that writes a copy of a store to `target`; what ends it early says what became of it."""
    untouched = f"{target} is unchanged" if target.exists() else f"nothing was written to {target}"
    with partial_work(untouched) as work, writing(untouched, needs=(store.stat().st_size, target.parent)):
        yield work


def _check_existing(store: OpenStore, target: Path, *, replace: bool) -> None:
    """Raise `FileExistsError` if there is a file, unless it is an earlier backup of the store and may be replaced."""
    if not target.exists():
        return
    if not replace:
        raise FileExistsError(f"{target} exists already, and is not replaced")
    check_replaceable(store.path, target)


def check_replaceable(store: Path, target: Path) -> None:
    """Raise `FileExistsError` unless the file `target` is an earlier backup of the store."""
    with StoreConnection.of(store).read() as cursor:
        store_id = migrations.state(cursor).store_id
    try:
        with opened(target) as cursor:
            found = migrations.state(cursor)
    except (StoreDamagedError, StoreVersionError):
        found = None
    if found is None or found.store_id != store_id or found.replica_of:
        raise FileExistsError(
            f"{target} is no backup of {store}, so it is not replaced: choose another name, or delete it first"
        )


def merge_spooled(store: OpenStore) -> int:
    """Merge what waits in the spool; return how many bars stay there, because the store cannot be written."""
    try:
        store.merge_spooled()
    except (StoreBusyError, StoreWriteError) as error:
        logger.warning("the copy lacks the downloads that wait in %s: %s", store.spool.folder, error)
    return store.spool.contents().bars
