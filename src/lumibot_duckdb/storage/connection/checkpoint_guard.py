"""Keeps a store intact if a process dies while DuckDB folds its log into the file.

A checkpoint writes data to unused blocks and then switches headers, so a crash before the switch changes nothing. But
it rewrites the blocks with metadata (the catalog, the locations of row groups) in place. A process that is killed
during such a write leaves a block that fails its checksum, and the file can no longer be opened. So these few blocks
are copied beside the file before a checkpoint, and restored if it was not finished. (InnoDB's doublewrite buffer serves
the same purpose.)

This relies on the format of DuckDB's file: blocks follow the headers, which take 12,288 bytes. The first header
identifies the file. The two others take turns: each checkpoint rewrites one of them at its end.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumibot_duckdb.storage.errors import StorageError

logger = logging.getLogger(__name__)

HEADER_BYTES = 12_288
# The copies that earlier releases made begin with the second header.
_EARLIER_START = 4_096


@dataclass(frozen=True, slots=True)
class _Copy:
    """What a guard holds: the headers from byte `start` on, and blocks."""

    start: int
    headers: bytes
    block_size: int
    blocks: dict[int, bytes]

    @classmethod
    def parsed(cls, content: bytes) -> _Copy:
        """Return the contents of a file; raise ValueError, KeyError or TypeError if it is not a whole guard."""
        line, _, rest = content.partition(b"\n")
        plan: dict[str, Any] = json.loads(line)
        if hashlib.sha256(rest).hexdigest() != plan["sha256"]:
            raise ValueError("it is not complete")
        start, size, numbers = int(plan.get("start", _EARLIER_START)), int(plan["block_size"]), list(plan["blocks"])
        length = HEADER_BYTES - start
        blocks = {int(n): rest[length + i * size : length + (i + 1) * size] for i, n in enumerate(numbers)}
        # It has fewer bytes if the file ended within a block.
        if not length <= len(rest) <= length + size * len(blocks) or min(start, size, *blocks) < 0:
            raise ValueError("its blocks do not fit its plan")
        return cls(start, rest[:length], size, blocks)


@dataclass(frozen=True, slots=True)
class CheckpointGuard:
    """The copy of a store's metadata blocks, in a file beside the store."""

    store: Path

    @property
    def path(self) -> Path:
        """Path of the copy, which exists only during a checkpoint."""
        return self.store.with_name(self.store.name + ".guard")

    def exists(self) -> bool:
        """Return whether a checkpoint began and has not ended."""
        return self.path.exists()

    def set(self, descriptor: int, block_size: int, blocks: Sequence[int]) -> None:
        """Copy the headers and these blocks of the store, which is open for reading as `descriptor`.

        Raises OSError, and leaves no copy then.
        """
        parts = [read_header(descriptor)]
        parts += [os.pread(descriptor, block_size, HEADER_BYTES + block * block_size) for block in blocks]
        contents = b"".join(parts)
        plan = {
            "start": 0,
            "block_size": block_size,
            "blocks": list(blocks),
            "sha256": hashlib.sha256(contents).hexdigest(),
        }
        unfinished = self.path.with_name(self.path.name + ".new")
        try:
            with unfinished.open("wb") as file:
                file.write(json.dumps(plan).encode() + b"\n" + contents)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def clear(self) -> None:
        """Remove the copy, after the checkpoint."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:  # it does no harm, since it does not fit the new headers
            logger.warning("could not remove %s: %s", self.path, error.strerror)

    def restore(self) -> bool:
        """Restore the blocks if the checkpoint was not finished; return whether that was so.

        Call it under the lock for writing, with the file detached. Nothing happens while another program has the file
        open. Raises `StorageError` if the copy or the store cannot be accessed; the next call tries again.
        """
        if not self.exists() or not self.store.exists():
            return False
        try:
            content = self.path.read_bytes()
            try:
                copy = _Copy.parsed(content)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                self._put_aside(error)
                return False
            return self._put_back(copy)
        except OSError as error:
            raise StorageError(
                f"cannot restore {self.store} from {self.path}, after a checkpoint that was interrupted: "
                f"{error.strerror}. Fix the cause and try again; do not delete either file"
            ) from error

    def _put_aside(self, reason: Exception) -> None:
        """Rename a file that is no guard. A guard is renamed into place when it is complete, so none was lost."""
        aside = self.path.with_name(self.path.name + ".damaged")
        logger.warning("%s is not a copy that a checkpoint made (%s), and is renamed to %s", self.path, reason, aside)
        self.path.replace(aside)

    def _put_back(self, copy: _Copy) -> bool:
        import fcntl

        with self.store.open("r+b", buffering=0) as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock that DuckDB takes
            except OSError:
                return False
            if read_header(file.fileno())[copy.start :] != copy.headers:
                self.clear()  # the headers were switched, so the checkpoint had finished; or it is another file
                return False
            for number, block in copy.blocks.items():
                os.pwrite(file.fileno(), block, HEADER_BYTES + number * copy.block_size)
            os.fsync(file.fileno())
        self.clear()
        return True


def read_header(descriptor: int) -> bytes:
    """Return the headers of an open store file. A checkpoint changes them; nothing else does."""
    return os.pread(descriptor, HEADER_BYTES, 0)
