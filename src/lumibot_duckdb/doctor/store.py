"""Checks of the store: its location, permissions, file system, lock, contents and spooled writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lumibot_duckdb.doctor.check import FAILED, OK, SKIPPED, WARNING, Check
from lumibot_duckdb.doctor.file_system import is_shared, kind_of, lock_error
from lumibot_duckdb.doctor.settings import Layers, value_of
from lumibot_duckdb.publishing.opening import opened_store
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError, StoreDamagedError, StoreVersionError
from lumibot_duckdb.storage.location import ENVIRONMENT_VARIABLE

_OPTION = "--store"
_LEAST_FREE = 64 * 10**6
"""Free bytes below which a write may fail."""
_WAIT_SECONDS = 3.0
_ELSEWHERE = f"choose another place with {ENVIRONMENT_VARIABLE}"
_UNREADABLE = (
    "move the file away and restore a backup of it, or let backtests download and import its bars into a new store"
)


@dataclass(frozen=True)
class Location:
    """The path of the store (None if the setting names no usable one), and where that setting came from."""

    path: Path | None
    origin: str
    problem: str = ""


def locate(given: str | None, layers: Layers) -> Location:
    """Return where the store is: `given` by `--store`, or else by the settings."""
    value, origin = (given, _OPTION) if given is not None else value_of(ENVIRONMENT_VARIABLE, layers)
    if given == "":
        return Location(None, origin, "it is empty: name a folder, or a file whose name ends in .duckdb")
    try:
        return Location(opened_store(value or None).absolute(), origin if value else "default")
    except (StorageError, ValueError) as error:
        return Location(None, origin, str(error))
    except OSError as error:
        return Location(None, origin, f"{error.filename}: {error.strerror}")


def check_store(location: Location) -> Iterator[Check]:
    """Check the store without writing to it or creating it."""
    path = location.path
    if path is None:
        problem = " ".join(location.problem.split())
        yield Check(
            "store.location",
            FAILED,
            f"the location of the store ({location.origin}) cannot be used: {problem}",
            f"correct {location.origin if location.origin == _OPTION else ENVIRONMENT_VARIABLE}",
            {"path": None, "origin": location.origin},
        )
        return
    details = {"path": str(path), "origin": location.origin}
    yield Check("store.location", OK, f"{path} ({location.origin})", "", details)
    folder = _nearest(path.parent)
    permissions = _check_permissions(path, folder)
    yield _check_existence(path)
    yield permissions
    yield _check_file_system(folder, may_probe=permissions.status == OK)
    yield _check_space(path, folder)
    yield _check_spool(path)
    if _size(path):
        yield _check_lock(path)
        yield from _check_contents(path)


def _check_existence(path: Path) -> Check:
    details = {"exists": path.exists(), "bytes": _size(path)}
    if path.is_dir():
        return Check("store.exists", FAILED, f"{path} is a folder", f"remove it, or {_ELSEWHERE}", details)
    if not _size(path):
        return Check("store.exists", OK, "there is no store yet; the first write creates it", "", details)
    return Check("store.exists", OK, f"the store takes {_size(path) / 1e6:,.1f} MB", "", details)


def _check_permissions(path: Path, folder: Path) -> Check:
    name = "store.permissions"
    files = [path, *(path.with_name(path.name + end) for end in (".wal", ".lock", ".turn"))]
    denied = [str(folder)] if not os.access(folder, os.R_OK | os.W_OK | os.X_OK) else []
    denied += [str(file) for file in files if file.exists() and not os.access(file, os.R_OK | os.W_OK)]
    if denied:
        summary = f"this user cannot read and write {', '.join(denied)}"
        return Check(name, FAILED, summary, f"change its permissions, or {_ELSEWHERE}", {"denied": denied})
    return Check(name, OK, "the store and its folder can be read and written", "", {"denied": []})


def _check_file_system(folder: Path, *, may_probe: bool) -> Check:
    name, kind = "store.file_system", kind_of(folder)
    error = lock_error(folder) if may_probe else None
    details, known = {"kind": kind, "lock_error": error}, kind or "a file system of unknown kind"
    if error is not None:
        summary = f"{folder} is on {known}, where files cannot be locked: {error}"
        return Check(name, FAILED, summary, f"{_ELSEWHERE}, on a local disk", details)
    if kind is not None and is_shared(kind):
        summary = f"{folder} is on {kind}, where a lock may not hold on other machines"
        return Check(name, WARNING, summary, f"use the store from one machine only, or {_ELSEWHERE}", details)
    locks = "; locks work" if may_probe else "; its locks were not tested"
    return Check(name, OK, f"{known}{locks}", "", details)


def _check_space(path: Path, folder: Path) -> Check:
    name, size = "store.space", _size(path) + _size(path.with_name(path.name + ".wal"))
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name, WARNING, f"cannot determine the free space of {folder}: {error.strerror}")
    details, found = {"free_bytes": free, "store_bytes": size}, f"{free / 1e9:,.1f} GB are free"
    if free < _LEAST_FREE:
        found = f"only {free / 1e6:,.1f} MB are free, too little for a write"
        return Check(name, FAILED, found, f"free some space, or {_ELSEWHERE}", details)
    if free < size:
        summary = f"{found}, less than the {size / 1e9:,.1f} GB of the store"
        return Check(name, WARNING, summary, "free some space: compaction makes a copy of the store", details)
    return Check(name, OK, found, "", details)


def _check_spool(path: Path) -> Check:
    name, contents = "store.spool", Spool(path).contents()
    details = {"writes": contents.writes, "bars": contents.bars, "quarantined": contents.quarantined}
    if not contents.writes and not contents.quarantined:
        return Check(name, OK, "no spooled writes are waiting", "", details)
    remedy = (
        "the files that end in .damaged hold downloads that could not be merged; remove them once they are not needed"
        if contents.quarantined
        else "nothing is lost: the next write to the store merges them"
    )
    return Check(name, WARNING, "; ".join(Spool(path).sentences()), remedy, details)


def _check_lock(path: Path) -> Check:
    name = "store.lock"
    try:
        lock = StoreLock(path)
    except StorageError as error:
        return Check(name, FAILED, str(error), "use Linux, macOS or WSL")
    try:
        holders = lock.holders()
    finally:
        lock.close()
    if not holders:
        return Check(name, OK, "no other process holds the store", "", {"holders": []})
    return Check(name, OK, ", ".join(holders), "", {"holders": holders})


def _check_contents(path: Path) -> Iterator[Check]:
    """Open the store and check its schema."""
    opens, schema, newest = "store.opens", "store.schema", migrations.newest()
    known = {"version": None, "newest": newest}
    connection = StoreConnection.of(path, wait_seconds=_WAIT_SECONDS)
    try:
        with connection.read() as cursor:
            version = migrations.state(cursor).schema_version
    except StoreVersionError as error:
        yield Check(opens, OK, "the store can be opened")
        yield Check(schema, FAILED, _one_line(error), "pip install --upgrade lumibot-duckdb", known)
        return
    except StoreBusyError as error:
        remedy = "wait for that process, or end it"
        yield Check(opens, WARNING, f"the store is in use: {_one_line(error)}", remedy)
        yield Check(schema, SKIPPED, "the store is in use", "", known)
        return
    except Exception as error:
        remedy = _UNREADABLE if isinstance(error, StoreDamagedError) else f"make the store usable, or {_ELSEWHERE}"
        yield Check(opens, FAILED, f"the store cannot be opened: {_one_line(error)}", remedy)
        yield Check(schema, SKIPPED, "the store cannot be opened", "", known)
        return
    finally:
        connection.close()
    yield Check(opens, OK, "the store can be opened")
    details = {"version": version, "newest": newest}
    if version == newest:
        yield Check(schema, OK, f"schema {version}, the newest", "", details)
    else:
        summary = f"schema {version}; this release writes schema {newest}, and its next use upgrades the store"
        yield Check(schema, OK, summary, "", details)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _nearest(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next((place for place in (folder, *folder.parents) if place.exists()), Path(folder.anchor))
