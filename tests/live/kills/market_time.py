"""What a test and the processes that it kills share: the time of the market, and what a process is doing."""

from __future__ import annotations

import mmap
import struct
from datetime import datetime, timezone
from pathlib import Path

_TIME, _COUNTER = struct.Struct("d"), struct.Struct("q")
_COMMANDS, _WRITES, _SIZE = 8, 16, 24


class MarketTime:
    """A file of a few bytes in memory.

    Parameters:
        path: the file, which is created if there is none.
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(_SIZE)
            self._bytes = mmap.mmap(file.fileno(), _SIZE)

    def set(self, seconds: float) -> None:
        """Set the time, in epoch seconds."""
        _TIME.pack_into(self._bytes, 0, seconds)

    def now(self) -> datetime:
        """Return the time, which the package reads as that of its machine."""
        return datetime.fromtimestamp(_TIME.unpack_from(self._bytes, 0)[0], timezone.utc)

    # -- counted by the processes, which continue each other's counts --------------------------------------------

    @property
    def commands(self) -> int:
        """How many commands have begun: what comes before is Python's."""
        return self._counter(_COMMANDS)

    @property
    def writes(self) -> int:
        """How many writes of live bars have begun."""
        return self._counter(_WRITES)

    def count_command(self) -> None:
        _COUNTER.pack_into(self._bytes, _COMMANDS, self.commands + 1)

    def count_write(self) -> None:
        _COUNTER.pack_into(self._bytes, _WRITES, self.writes + 1)

    def _counter(self, place: int) -> int:
        return int(_COUNTER.unpack_from(self._bytes, place)[0])
