"""Keeps a store intact if a process dies while DuckDB folds its log into the file.

A checkpoint writes data to unused blocks and then switches headers, so a crash before the switch changes nothing. But
it rewrites the blocks with metadata (the catalog, the locations of row groups) in place. A process that is killed
during such a write leaves a block that fails its checksum, and the file can no longer be opened. So these few blocks
are copied beside the file before a checkpoint, and restored if it was not finished. (InnoDB's doublewrite buffer serves
the same purpose.)

This relies on the format of DuckDB's file: the two headers are at bytes 4,096 to 12,288, and blocks follow.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HEADERS = (4_096, 8_192)  # offset, length
_FIRST_BLOCK = 12_288


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
        offset, length = _HEADERS
        parts = [os.pread(descriptor, length, offset)]
        parts += [os.pread(descriptor, block_size, _FIRST_BLOCK + block * block_size) for block in blocks]
        contents = b"".join(parts)
        plan = {"block_size": block_size, "blocks": list(blocks), "sha256": hashlib.sha256(contents).hexdigest()}
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
        self.path.unlink(missing_ok=True)

    def restore(self) -> bool:
        """Restore the blocks if the checkpoint was not finished; return whether that was so.

        Call it under the lock for writing, with the file detached. Nothing happens while another program has the file
        open.
        """
        if not self.exists() or not self.store.exists():
            return False
        line, _, contents = self.path.read_bytes().partition(b"\n")
        plan = json.loads(line)
        if hashlib.sha256(contents).hexdigest() != plan["sha256"]:
            self.clear()  # never finished, so no checkpoint began
            return False
        return self._put_back(contents, plan["block_size"], plan["blocks"])

    def _put_back(self, contents: bytes, block_size: int, blocks: Sequence[int]) -> bool:
        import fcntl

        offset, length = _HEADERS
        with self.store.open("r+b", buffering=0) as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock that DuckDB takes
            except OSError:
                return False
            if os.pread(file.fileno(), length, offset) != contents[:length]:
                self.clear()  # the headers were switched: the checkpoint had finished
                return False
            for number, block in enumerate(blocks):
                begin = length + number * block_size
                os.pwrite(file.fileno(), contents[begin : begin + block_size], _FIRST_BLOCK + block * block_size)
            os.fsync(file.fileno())
        self.clear()
        return True
