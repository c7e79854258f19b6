"""What a process does with a storage, counted from several threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from lumibot_duckdb.storage.api import StorageUse


class Counters:
    """Counts reads, time and downloads, and knows what others count beside it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._timed = threading.local()
        self._use = StorageUse()
        self._others: list[tuple[str, Any]] = []

    @property
    def use(self) -> StorageUse:
        """What was done so far."""
        return self._use

    def read(self, rows: int, size: int) -> None:
        """Count one read of rows, of so many bytes in memory."""
        with self._guard:
            use = self._use
            self._use = replace(
                use, reads=use.reads + 1, rows_read=use.rows_read + rows, bytes_read=use.bytes_read + size
            )

    def downloaded(self, bars: int, seconds: float) -> None:
        """Count one answer of a source and the time that it took."""
        with self._guard:
            use = self._use
            self._use = replace(
                use,
                downloads=use.downloads + 1,
                bars_downloaded=use.bars_downloaded + bars,
                seconds_downloading=use.seconds_downloading + seconds,
            )

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Count the time of a block as time in the storage; blocks within it count nothing more."""
        if getattr(self._timed, "inside", False):
            yield
            return
        self._timed.inside = True
        began = time.perf_counter()
        try:
            yield
        finally:
            self._timed.inside = False
            took = time.perf_counter() - began
            with self._guard:
                self._use = replace(self._use, seconds=self._use.seconds + took)

    def also(self, name: str, numbers: Any) -> None:
        """Remember a dataclass of numbers, which its owner goes on changing."""
        with self._guard:
            self._others.append((name, numbers))

    def others(self) -> Mapping[str, dict[str, Any]]:
        """Return what others count now; numbers of the same name are added up."""
        with self._guard:
            others = list(self._others)
        found: dict[str, dict[str, Any]] = {}
        for name, numbers in others:
            sums = found.setdefault(name, {})
            for field, value in asdict(numbers).items():
                sums[field] = sums.get(field, 0) + value
        return found
