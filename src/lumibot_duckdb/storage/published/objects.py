"""Where snapshots are published: named objects in an S3 bucket or a folder. `s3.py` and `folder.py` implement it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from lumibot_duckdb.storage.api import OnBytes

BLOCK = 2**16
"""Bytes that are read at a time. If a server stops in the middle of a block, what arrived of it is requested again."""


class InterruptedReadError(Exception):
    """A connection broke, or a body ended early: what arrived is good, and reading can continue there."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, and when it was written (UTC)."""

    name: str
    size: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectBody:
    """The rest of an object from where a read began, in blocks, and the tag of this state of the object."""

    tag: str
    blocks: Iterator[bytes]


class ObjectStore(Protocol):
    """Objects under one prefix. Every method raises `PublishedSnapshotError` with a remedy for what fails."""

    @property
    def location(self) -> str:
        """How the user names it: "s3://bucket/prefix" or the path of the folder."""

    def get(self, name: str, most_bytes: int) -> bytes:
        """Return a small object. Raises `SnapshotGoneError` if there is none."""

    def read(self, name: str, start: int, tag: str | None) -> AbstractContextManager[ObjectBody]:
        """Open an object from a byte on; with a `tag`, only if it is still in the state with that tag.

        Blocks raise `InterruptedReadError` if the connection breaks.
        """

    def put(self, name: str, content: bytes) -> None:
        """Write a small object, all of it at once."""

    def put_file(self, name: str, file: Path, on_bytes: OnBytes | None) -> None:
        """Write an object that nobody sees before it is complete."""

    def objects(self, beginning: str) -> list[StoredObject]:
        """Return the objects whose names begin so."""

    def delete(self, name: str) -> None:
        """Delete an object, if there is one."""
