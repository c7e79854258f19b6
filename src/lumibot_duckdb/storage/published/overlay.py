"""Overlays: writable stores that begin as a copy of a snapshot, into which backtests download what it lacks.

An overlay is an ordinary store. So a series has one history, with the bars and the coverage of the snapshot and those
of later downloads, and sources restate it, add to it and pin it as usual.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from pathlib import Path

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnBytes
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.connection.engine import attach
from lumibot_duckdb.storage.connection.file_lock import FileLock
from lumibot_duckdb.storage.published.manifest import Manifest
from lumibot_duckdb.storage.upkeep.other_file import copy_bytes
from lumibot_duckdb.storage.upkeep.replacement import put_in_place, unfinished

logger = logging.getLogger(__name__)

_FICLONE = 0x40049409
"""The request of Linux for a copy that shares its blocks with the original until one of them is written."""


def existing(folder: Path, manifest: Manifest) -> Path | None:
    """Return the overlay of a snapshot, if there is one."""
    path = _path(folder, manifest)
    return path if path.exists() else None


def begun(folder: Path, manifest: Manifest, file: Path, location: str, on_bytes: OnBytes | None) -> Path:
    """Return the overlay of a snapshot, which is made from its file unless another process has made it meanwhile."""
    path = _path(folder, manifest)
    with writing(f"no overlay was made in {folder}", needs=(manifest.size, folder.parent)):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{path.name}.making"))
        lock.take(while_waiting=lambda: None)
        try:
            if not path.exists():
                with unfinished(path, "copying") as copy:
                    if not _cloned(file, copy):
                        copy_bytes(file, copy, on_bytes)
                    _make_writable(copy)
                    put_in_place(copy, path)
                logger.info("%s begins with the bars of %s", path, location)
        finally:
            lock.remove()
    return path


def _path(folder: Path, manifest: Manifest) -> Path:
    return folder / f"overlay-{manifest.sha256[:16]}.duckdb"


def _cloned(source: Path, target: Path) -> bool:
    """Copy a file without its bytes, where the file system can; return whether it did."""
    try:
        import fcntl

        with source.open("rb") as read, target.open("xb") as written:
            fcntl.ioctl(written.fileno(), _FICLONE, read.fileno())
        shutil.copymode(source, target)
        return True
    except (ImportError, OSError):
        target.unlink(missing_ok=True)
        return False


def _make_writable(path: Path) -> None:
    """Turn a copy of a snapshot into an independent store."""
    import duckdb

    duck = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "256MB"})
    try:
        attach(duck, path, "overlay", "READ_WRITE")
        migrations.end_publication(StoreCursor("overlay", duck), uuid.uuid4().hex)
        duck.execute("DETACH overlay")
    finally:
        duck.close()
