"""Downloads the data of a snapshot into a partial file, from where a download stopped before, and checks it."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

from lumibot_duckdb.storage.api import OnBytes
from lumibot_duckdb.storage.connection.disk_errors import is_full, writing
from lumibot_duckdb.storage.errors import DiskFullError, PublishedSnapshotError
from lumibot_duckdb.storage.published.manifest import Manifest
from lumibot_duckdb.storage.published.objects import InterruptedReadError, ObjectStore

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
"""Broken connections in a row, without a byte in between, that end a download."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0


def download(objects: ObjectStore, manifest: Manifest, partial: Path, on_bytes: OnBytes | None) -> None:
    """Complete a partial file. It is removed if its content is not the published one, or if the disk is full.

    Raises `PublishedSnapshotError`, `SnapshotGoneError`, `DiskFullError`, `StoreWriteError`.
    """
    continued = partial.exists() and partial.stat().st_size > 0
    if _completed(objects, manifest, partial, on_bytes):
        return
    if continued:  # what an interrupted machine left may be incomplete on its disk
        logger.warning("the part of %s that was downloaded before is damaged: downloading it again", manifest.data)
        if _completed(objects, manifest, partial, on_bytes):
            return
    raise PublishedSnapshotError(
        f"{objects.location}/{manifest.data} is not what was published: its SHA-256 differs from the one in the "
        "manifest. Nothing was kept; publish the snapshot again"
    )


def _completed(objects: ObjectStore, manifest: Manifest, partial: Path, on_bytes: OnBytes | None) -> bool:
    """Download what is missing; return whether the digest is right. If not, the file is removed."""
    with writing("the snapshot was not downloaded", needs=(manifest.size, partial.parent)), partial.open("ab+") as file:
        digest = _digest_so_far(file, manifest.size)
        try:
            _read_rest(objects, manifest, file, digest, on_bytes)
        except OSError as error:
            if is_full(error) and not isinstance(error, DiskFullError):
                file.truncate(0)  # others need the space
            raise
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() == manifest.sha256:
        return True
    partial.unlink()
    return False


def _digest_so_far(file: Any, size: int) -> Any:
    """Return the digest of what is there, without what is too much."""
    digest = hashlib.sha256()
    if os.fstat(file.fileno()).st_size > size:
        file.truncate(0)
    file.seek(0)
    while block := file.read(2**20):
        digest.update(block)
    return digest


def _read_rest(objects: ObjectStore, manifest: Manifest, file: Any, digest: Any, on_bytes: OnBytes | None) -> None:
    done, failures, tag, pause = file.tell(), 0, None, _FIRST_PAUSE
    while done < manifest.size:
        before = done
        reason = "the body ended early"
        with objects.read(manifest.data, done, tag) as body:
            tag = body.tag
            try:
                for block in body.blocks:
                    file.write(block)
                    digest.update(block)
                    done += len(block)
                    if done > manifest.size:
                        break
                    if on_bytes is not None:
                        on_bytes(done, manifest.size)
            except InterruptedReadError as error:
                reason = str(error)
        if done > manifest.size:
            file.truncate(0)
            raise PublishedSnapshotError(
                f"{objects.location}/{manifest.data} is larger than the {manifest.size:,} bytes in the manifest. "
                "Nothing was kept; publish the snapshot again"
            )
        if done == manifest.size:
            return
        failures, pause = (0, _FIRST_PAUSE) if done > before else (failures + 1, min(2 * pause, _LONGEST_PAUSE))
        if failures == _ATTEMPTS:
            raise PublishedSnapshotError(
                f"{objects.location}/{manifest.data} cannot be downloaded: {reason}, {failures} times in a row after "
                f"{done:,} of {manifest.size:,} bytes. Try again; the download continues there"
            )
        logger.info("the download of %s was interrupted (%s) and continues at byte %d", manifest.data, reason, done)
        time.sleep(pause)
