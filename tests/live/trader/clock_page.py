"""The clock of a simulation, in a file that its processes share.

One process moves it: the one that trades while there is one, otherwise the test. It never passes the limit that the
test sets, so a test can let time pass until a moment, change something, and continue.
"""

from __future__ import annotations

import mmap
import struct
from datetime import datetime, timezone
from pathlib import Path

_NUMBER = struct.Struct("d")
_NOW, _LIMIT, _AHEAD = 0, 8, 16
_SIZE = 24


class ClockPage:
    """The clock in a file, which is made if it is missing. All times are epoch seconds."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _SIZE)

    @property
    def now(self) -> float:
        """The true time."""
        return self._read(_NOW)

    @now.setter
    def now(self, time: float) -> None:
        self._write(_NOW, time)

    @property
    def limit(self) -> float:
        """Where time stops until the test sets another limit."""
        return self._read(_LIMIT)

    @limit.setter
    def limit(self, time: float) -> None:
        self._write(_LIMIT, time)

    @property
    def ahead(self) -> float:
        """How many seconds the clock of the machine that trades is ahead of the true time."""
        return self._read(_AHEAD)

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self._write(_AHEAD, seconds)

    def utc_now(self) -> datetime:
        """Return the true time."""
        return datetime.fromtimestamp(self.now, timezone.utc)

    def _read(self, place: int) -> float:
        found: float = _NUMBER.unpack_from(self._page, place)[0]
        return found

    def _write(self, place: int, value: float) -> None:
        _NUMBER.pack_into(self._page, place, value)
