"""Snapshots in a folder, such as one on a network drive."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from lumibot_duckdb.storage.api import OnBytes
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.errors import PublishedSnapshotError, SnapshotGoneError
from lumibot_duckdb.storage.published.objects import BLOCK, InterruptedReadError, ObjectBody, StoredObject
from lumibot_duckdb.storage.upkeep.other_file import copy_bytes
from lumibot_duckdb.storage.upkeep.replacement import put_in_place

_UNFINISHED = ".unfinished-"


class FolderObjects:
    """The files of a folder as objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def location(self) -> str:
        """The path of the folder."""
        return str(self._folder)

    def get(self, name: str, most_bytes: int) -> bytes:
        """Return a small file."""
        with self._open(name) as file:
            return _limited(file.read(most_bytes + 1), most_bytes, self._folder / name)

    @contextmanager
    def read(self, name: str, start: int, tag: str | None) -> Iterator[ObjectBody]:
        """Open a file from a byte on."""
        with self._open(name) as file:
            found = os.fstat(file.fileno())
            current = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
            if tag not in (None, current):
                raise PublishedSnapshotError(f"{self._folder / name} was changed while it was read: open it again")
            file.seek(start)
            yield ObjectBody(current, _blocks(file))

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._new(name) as unfinished:
            unfinished.write_bytes(content)

    def put_file(self, name: str, file: Path, on_bytes: OnBytes | None) -> None:
        """Copy a file into the folder."""
        with self._new(name, needs=file.stat().st_size) as unfinished:
            copy_bytes(file, unfinished, on_bytes)

    def objects(self, beginning: str) -> list[StoredObject]:
        """Return the files whose names begin so."""
        found = []
        for path in self._folder.iterdir():
            if path.name.startswith(beginning):
                with suppress(FileNotFoundError):
                    there = path.stat()
                    written_at = datetime.fromtimestamp(there.st_mtime, timezone.utc)
                    found.append(StoredObject(path.name, there.st_size, written_at))
        return found

    def delete(self, name: str) -> None:
        """Delete a file. A program that has it open can still read it."""
        (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        path = self._folder / name
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise SnapshotGoneError(f"there is no {path}: publish a snapshot to {self._folder} first") from None
        except OSError as error:
            raise PublishedSnapshotError(
                f"{path} cannot be read ({error.strerror}): check the folder and its permissions"
            ) from error
        with file:
            yield file

    @contextmanager
    def _new(self, name: str, needs: int = 0) -> Iterator[Path]:
        """Yield a path for a file that gets its name when the block ends."""
        with writing(f"nothing was published in {self._folder}"):
            self._folder.mkdir(parents=True, exist_ok=True)
        with writing(f"nothing was published in {self._folder}", needs=(needs, self._folder)):
            if shutil.disk_usage(self._folder).free < needs:
                raise OSError(28, os.strerror(28), str(self._folder / name))
            unfinished = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
            try:
                yield unfinished
                put_in_place(unfinished, self._folder / name)
            finally:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    try:
        while block := file.read(BLOCK):
            yield block
    except OSError as error:
        raise InterruptedReadError(str(error.strerror)) from error


def _limited(content: bytes, most_bytes: int, name: object) -> bytes:
    if len(content) > most_bytes:
        raise PublishedSnapshotError(f"{name} has more than {most_bytes:,} bytes, so it is no manifest: publish again")
    return content
