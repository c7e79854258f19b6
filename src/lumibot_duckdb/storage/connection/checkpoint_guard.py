"""Keeps a store whole when a process dies while DuckDB folds its log into the file.

A checkpoint writes data to unused blocks and then switches headers, so that dying before the switch changes nothing.
But the blocks that hold metadata (the catalog, where row groups lie) it rewrites in place, and a process that is killed
in the middle of that write leaves a block that fails its checksum: the file cannot be opened any more. So these few
blocks are copied beside the file before a checkpoint, and put back if it was not finished. (InnoDB guards against the
same with its doublewrite buffer.)

What is relied on of DuckDB's file: the two headers lie at bytes 4,096 to 12,288, and blocks follow from there on.
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
    """The copy of a store's metadata blocks, in a file of its own beside the store."""

    store: Path

    @property
    def path(self) -> Path:
        """Where the copy is, while there is one."""
        return self.store.with_name(self.store.name + ".guard")

    def exists(self) -> bool:
        """Tell whether a checkpoint began and was not seen to end."""
        return self.path.exists()

    def set(self, descriptor: int, block_size: int, blocks: Sequence[int]) -> None:
        """Copy the headers and these blocks of the store, open for reading as `descriptor`.

        Raises OSError: then there is no copy.
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
        """Forget the copy: the checkpoint ended."""
        self.path.unlink(missing_ok=True)

    def restore(self) -> bool:
        """Put the blocks back if the checkpoint was not finished; tell whether that was so.

        To be called under the lock for writing, with the file not attached. Nothing is done while another program has
        the file open.
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
