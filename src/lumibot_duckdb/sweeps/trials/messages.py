"""The messages between a process that waits for trials and the one that sends them: JSON, one line each.

A target's keys and frames do not pass through a file. The output of scripts and the record of each trial are files in a
folder that the sending process owns, and that only its user can read.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumibot_duckdb.results.records import TrialRecord

OUTPUT = "output.txt"
_RECORD = "record.pickle"


@dataclass
class Channel:
    """Reads messages from one descriptor and writes them to another."""

    reading: int
    writing: int
    _buffer: bytes = b""

    def send(self, **message: Any) -> None:
        """Write a message. Raises OSError if nobody reads any more."""
        self.send_bytes(json.dumps(message).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Write bytes, whose number a message has told."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.writing, rest) :]

    def receive(self) -> Iterator[dict[str, Any]]:
        """Wait until something arrives; yield the messages that are complete. Raises EOFError at the end."""
        received = os.read(self.reading, 65_536)
        if not received:
            raise EOFError
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        yield from map(json.loads, lines)

    def receive_first(self) -> dict[str, Any]:
        """Wait for a message after which only bytes, or nothing, are sent until it is answered."""
        while b"\n" not in self._buffer:
            received = os.read(self.reading, 65_536)
            if not received:
                raise EOFError
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def receive_bytes(self, count: int) -> bytes:
        """Wait for so many bytes after the message that told their number. Raises EOFError if they do not come."""
        data, self._buffer = bytearray(self._buffer[:count]), self._buffer[count:]
        while len(data) < count:
            received = os.read(self.reading, min(count - len(data), 1 << 20))
            if not received:
                raise EOFError
            data += received
        return bytes(data)

    def close(self) -> None:
        """Close both descriptors."""
        os.close(self.reading)
        os.close(self.writing)


def trial_folder(folder: Path, number: int) -> Path:
    """Return the folder of a trial; the number is that of the message, not that of the trial in its sweep."""
    return folder / f"trial-{number}"


def write_record(folder: Path, record: TrialRecord) -> None:
    """Write the record of a trial, which is there as a whole or not at all."""
    written = folder / f"{_RECORD}.part"
    written.write_bytes(pickle.dumps(record))
    written.replace(folder / _RECORD)


def read_record(folder: Path) -> TrialRecord | None:
    """Return the record that `write_record` has written; None if there is none."""
    file = folder / _RECORD
    if not file.exists():
        return None
    record: TrialRecord = pickle.loads(file.read_bytes())  # by a process that this one started, in a private folder
    return record
