"""Replicas: read-only copies of the current bars, for notebooks and other programs that keep a file open.

A replica is replaced by renaming, so that a program which has the old one open continues with that. It records the
generation of the store, which changes with every write.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnRows
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.errors import StoreBusyError, StoreDamagedError
from lumibot_duckdb.storage.partial_work import PartialWork
from lumibot_duckdb.storage.upkeep.backup import copying, merge_spooled
from lumibot_duckdb.storage.upkeep.copy_target import copy_target
from lumibot_duckdb.storage.upkeep.other_file import copy_bytes, opened
from lumibot_duckdb.storage.upkeep.replacement import put_in_place, unfinished
from lumibot_duckdb.storage.upkeep.store_copy import (
    NewFile,
    StoreCopy,
    copy_most,
    copy_rest,
    current_versions,
    new_file,
)

_GENERATION = "replica_generation"


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What a replica has, and whether it was written (`refreshed`) or was up to date."""

    path: str
    refreshed: bool
    bytes: int
    series: int
    rows: int
    spooled_bars: int


@dataclass(frozen=True, slots=True)
class _Replica:
    """What a replica records: the id of its store, the store's generation when it was copied, and what it has."""

    store_id: str
    generation: int
    series: int
    rows: int


def refresh(store: OpenStore, path: str | os.PathLike[str], *, on_rows: OnRows | None = None) -> ReplicaReport:
    """Write the current bars to a replica at `path`, unless the replica that is there has them already."""
    target = copy_target(path, store.path)
    store.require()
    spooled_bars = merge_spooled(store)
    with copying(store.path, target) as work:
        if target.exists():
            found = _replica_at(target)
            store_id, generation = _state(store)
            if found.store_id != store_id:
                raise FileExistsError(f"{target} is a replica of another store: delete it first, or name another file")
            if found.generation == generation:
                return ReplicaReport(str(target), False, target.stat().st_size, found.series, found.rows, spooled_bars)
        done = _write(store, target, work, on_rows)
        return ReplicaReport(str(target), True, target.stat().st_size, done.series, done.rows, spooled_bars)


def _write(store: OpenStore, target: Path, work: PartialWork, on_rows: OnRows | None) -> StoreCopy:
    with unfinished(target, "copying") as file, deferred():
        with new_file(file) as new:
            copied = copy_most(store.connection, new, current_versions, on_rows)
            with store.connection.unchanging() as live:
                generation = store.connection.generation()
                done = copy_rest(new, live, current_versions, copied)
            _mark(new, store.path, generation)
            new.detach()
        # A program that writes into a replica leaves a log, which does not fit the new one.
        target.with_name(target.name + ".wal").unlink(missing_ok=True)
        put_in_place(file, target)
        work.outcome = f"{target} is complete"
        return done


def _mark(new: NewFile, path: Path, generation: int) -> None:
    """Record what the replica is of. It has no snapshots, since it lacks the superseded versions that these need."""
    new.execute("DELETE FROM new.snapshot")
    new.execute(
        "INSERT INTO new.store_meta VALUES (?, ?), (?, ?)",
        [migrations.REPLICA_OF, str(path.absolute()), _GENERATION, str(generation)],
    )


def _state(store: OpenStore) -> tuple[str, int]:
    """Return id and generation of the store."""
    with store.connection.read() as cursor:
        return migrations.state(cursor).store_id, store.connection.generation()


def _replica_at(target: Path) -> _Replica:
    """Return what a replica says of itself. Raises FileExistsError if another file is there."""
    try:
        return _read(target, target)
    except StoreBusyError:  # a notebook has it open for writing, as is DuckDB's default
        with unfinished(target, "copying") as copy:
            copy_bytes(target, copy)
            return _read(copy, target)


def _read(path: Path, target: Path) -> _Replica:
    try:
        with opened(path) as cursor:
            state = migrations.state(cursor)
            if state.replica_of:
                ((generation,),) = cursor.rows("SELECT value FROM {db}.store_meta WHERE key = ?", [_GENERATION])
                ((series, rows),) = cursor.rows(
                    "SELECT (SELECT count(*) FROM {db}.series), (SELECT count(*) FROM {db}.bar)"
                )
                return _Replica(state.store_id, int(generation), series, rows)
    except StoreDamagedError:
        pass  # or not a store at all
    raise FileExistsError(f"{target} exists and is not a replica: delete it first, or name another file")
