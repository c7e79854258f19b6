"""The snapshots that this machine has downloaded, shared by all processes of the user.

`<digest>/` has one snapshot: the store, what is known of it (`downloaded-snapshot.json`), and a lock that every process
that has opened it holds for as long as it runs. `partial/` has unfinished downloads, and `manifests/` the last manifest
of each location, for working offline.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lumibot_duckdb import clock
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.connection.file_lock import FileLock
from lumibot_duckdb.storage.connection.lock import is_alive
from lumibot_duckdb.storage.downloaded_snapshot import FACTS, DownloadedSnapshot, snapshot_at
from lumibot_duckdb.storage.errors import DiskFullError
from lumibot_duckdb.storage.published.manifest import Manifest
from lumibot_duckdb.storage.published.settings import CACHE, CACHE_SIZE

logger = logging.getLogger(__name__)

FILE_NAME = "lumibot.duckdb"
_IN_USE = "in-use"
_REMOVED, _ADDING = "removed-", "adding-"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ABANDONED_SECONDS = 7 * 86_400
"""A partial download that nothing was added to for so long is removed with the next download."""
_SPARE_BYTES = 64 * 2**20
"""Bytes of the disk that a download leaves free."""

_held: dict[Path, FileLock] = {}
"""The locks on what this process has opened, which it holds until it ends."""


class SnapshotCache:
    """The folder of downloaded snapshots, which may become about `most_bytes` large."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self._most_bytes = most_bytes

    def held(self, manifest: Manifest) -> Path | None:
        """Return the file of a snapshot, which no process removes until this one ends; None if it is not there."""
        file = self._file(manifest.sha256)
        if not file.exists() or not hold(file):
            return None
        if not _is_intact(file, manifest):
            logger.warning("%s was changed after it was downloaded, so it is downloaded again", file)
            self._discard(file)
            return None
        return file

    @contextmanager
    def downloading(self, manifest: Manifest, on_wait: Callable[[int], None]) -> Iterator[Path]:
        """Yield the path for a partial download, which no other process writes meanwhile. It stays after an error.

        While another process downloads, `on_wait` receives how many bytes it has.
        """
        folder = self.folder / "partial"
        with writing("nothing was downloaded"):
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{manifest.sha256}.part"
        lock = FileLock(path.with_suffix(".lock"))
        with writing("nothing was downloaded"):
            lock.take(while_waiting=lambda: on_wait(path.stat().st_size if path.exists() else 0))
        try:
            yield path
        finally:
            if path.exists():
                lock.release()
            else:
                lock.remove()

    def make_room(self, size: int, partial: Path) -> None:
        """Remove the least recently used snapshots, until one of a size fits. Those in use stay.

        Raises `DiskFullError` if the disk does not have that space.
        """
        self._remove_left_over(partial)
        arrived = partial.stat().st_size if partial.exists() else 0
        unused = sorted(self._snapshots(), key=_last_used)
        total = sum(map(_size, unused)) + size
        while unused and (total > self._most_bytes or self._free() < size - arrived + _SPARE_BYTES):
            folder = unused.pop(0)
            freed = _size(folder)
            if self._remove(folder):
                logger.info("removed %s from the cache of snapshots, which was used least recently", folder.name)
                total -= freed
        if total > self._most_bytes:
            logger.warning(
                "the snapshots in %s take %s MB together, more than %s allows, since all are in use",
                *(self.folder, f"{total / 1e6:,.0f}", CACHE_SIZE),
            )
        if (free := self._free()) < size - arrived + _SPARE_BYTES:
            raise DiskFullError(
                f"the snapshot takes {size / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free in {self.folder}; nothing "
                f"was downloaded. Free some space, or choose a folder on another disk with {CACHE}"
            )

    def add(self, partial: Path, manifest: Manifest, location: str) -> Path:
        """Give a complete download its place, and return the file, which is held. Call it while `downloading`."""
        folder = self.folder / manifest.sha256
        new = self.folder / f"{_ADDING}{os.getpid()}-{manifest.sha256}"
        shutil.rmtree(new, ignore_errors=True)
        with writing("the snapshot was not opened"):
            new.mkdir()
            partial.replace(new / FILE_NAME)
            found = (new / FILE_NAME).stat()
            facts = DownloadedSnapshot(location, manifest.as_of, found.st_size, found.st_mtime_ns)
            facts.write(new / FILE_NAME)
            lock = FileLock(new / _IN_USE)
            lock.take(shared=True)
            shutil.rmtree(folder, ignore_errors=True)  # what is left of one without its file
            new.rename(folder)
        _held[folder / FILE_NAME] = lock
        return folder / FILE_NAME

    def remember(self, location: str, manifest: Manifest) -> None:
        """Keep the manifest of a location."""
        path = self._manifest_path(location)
        with writing("the snapshot was not opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f"{path.name}.{os.getpid()}")
            new.write_bytes(manifest.to_json())
            new.replace(path)

    def remembered(self, location: str) -> bytes | None:
        """Return the last manifest of a location, in JSON; None if it was never opened here."""
        path = self._manifest_path(location)
        return path.read_bytes() if path.exists() else None

    def _manifest_path(self, location: str) -> Path:
        return self.folder / "manifests" / f"{hashlib.sha256(os.fsencode(location)).hexdigest()}.json"

    def _file(self, sha256: str) -> Path:
        return self.folder / sha256 / FILE_NAME

    def _snapshots(self) -> list[Path]:
        return [path.parent for path in self.folder.glob(f"*/{FACTS}") if _DIGEST.fullmatch(path.parent.name)]

    def _remove_left_over(self, partial: Path) -> None:
        """Remove what interrupted processes left: unfinished folders, and other downloads that nobody continued."""
        for folder in self.folder.glob(f"{_REMOVED}*"):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self.folder.glob(f"{_ADDING}*"):
            if not is_alive(int(folder.name.split("-")[1])):
                shutil.rmtree(folder, ignore_errors=True)
        for other in partial.parent.glob("*.part"):
            with suppress(OSError):
                if other != partial and clock.utc_now().timestamp() - other.stat().st_mtime > _ABANDONED_SECONDS:
                    other.unlink()

    def _remove(self, folder: Path) -> bool:
        """Remove a snapshot, unless a process uses it."""
        lock = FileLock(folder / _IN_USE)
        try:
            if not lock.take():
                return False
            gone = self.folder / f"{_REMOVED}{os.getpid()}-{folder.name}"
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            return True
        except OSError as error:
            logger.warning("could not remove %s: %s", folder, error.strerror)
            return False
        finally:
            lock.release()

    def _discard(self, file: Path) -> None:
        """Remove a changed file. Processes that have it open keep it."""
        if file in _held:
            _held.pop(file).release()
        shutil.rmtree(file.parent, ignore_errors=True)

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free


def hold(file: Path) -> bool:
    """Keep the snapshot that a file belongs to in the cache until this process ends; return whether it is there.

    Without effect for a file that is no downloaded snapshot.
    """
    if file in _held or snapshot_at(file) is None:
        return file.exists()
    lock = FileLock(file.with_name(_IN_USE))
    try:
        lock.take(shared=True, while_waiting=lambda: None)
        os.utime(file.with_name(_IN_USE))
    except FileNotFoundError:
        return False
    except OSError:
        return file.exists()  # a cache that cannot be written loses nothing either
    if not file.exists():
        lock.release()
        return False
    _held[file] = lock
    return True


def _is_intact(file: Path, manifest: Manifest) -> bool:
    """Return whether a file is as it was downloaded, which its size and time tell unless something wrote to it."""
    known, found = snapshot_at(file), file.stat()
    if known is None:
        return False
    if (known.size, known.mtime_ns) == (found.st_size, found.st_mtime_ns):
        return True
    return found.st_size == manifest.size and digest_of(file) == manifest.sha256


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _last_used(folder: Path) -> float:
    with suppress(OSError):
        return (folder / _IN_USE).stat().st_mtime
    return 0.0


def _size(folder: Path) -> int:
    with suppress(OSError):
        return (folder / FILE_NAME).stat().st_size
    return 0
