"""The store of a sweep on several machines: a path that all of them have, or a published snapshot."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from lumibot_duckdb.storage.downloaded_snapshot import snapshot_at
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.locating import located_snapshot, snapshot_manifest
from lumibot_duckdb.sweeps.engines.errors import EngineError, WorkerError


@dataclass(frozen=True)
class StoreAtPath:
    """A store that workers find at a path: on this machine, or in a folder that the machines share.

    Attributes:
        path: The path.
        file: The number of its file in the file system, by which a worker notices another store at this path; None if
            there is no store yet.
        host: The machine of the sweep.
    """

    path: Path
    file: int | None
    host: str

    def path_here(self, worker: str) -> Path:
        """Return the path. Raises `WorkerError` if this machine has no store or another one there."""
        if self.file is None:
            return self.path
        if not self.path.exists():
            raise WorkerError(f"{worker} has no store {self.path}: {_REMEDY}")
        if socket.gethostname() != self.host and self.path.stat().st_ino != self.file:
            raise WorkerError(f"{worker} has another store at {self.path}: {_REMEDY}")
        return self.path


@dataclass(frozen=True)
class StorePublished:
    """A published snapshot. All workers use the one that the sweep began with, even if a later one is published."""

    location: str
    manifest: bytes

    def path_here(self, worker: str) -> Path:
        """Return the path of the snapshot on this machine, which downloads it once. Raises `WorkerError`."""
        try:
            return located_snapshot(self.location, self.manifest)
        except (StorageError, ValueError) as error:
            raise WorkerError(f"{worker} cannot open the snapshot of the sweep: {error}") from None


SharedStore = StoreAtPath | StorePublished

_REMEDY = (
    "publish the store of the sweep (lumibot-duckdb publish s3://bucket/prefix), and begin the sweep with "
    "--store s3://bucket/prefix"
)


def shared_store(path: Path) -> SharedStore:
    """Return how workers find the store that is at a path here. Raises `EngineError` if they cannot."""
    snapshot = snapshot_at(path)
    if snapshot is None:
        return StoreAtPath(path, path.stat().st_ino if path.exists() else None, socket.gethostname())
    manifest = snapshot_manifest(path)
    if manifest is None:
        raise EngineError(
            f"another snapshot was published to {snapshot.location} and opened on this machine meanwhile; begin the "
            "sweep again"
        )
    return StorePublished(snapshot.location, manifest)
