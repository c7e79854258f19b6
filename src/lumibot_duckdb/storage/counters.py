"""Counts of what a process does with a storage, from all of its threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from lumibot_duckdb.storage.api import StorageUse


class Counters:
    """Counts reads, time and downloads, and shows what others count."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._timed = threading.local()
        self._use = StorageUse()
        self._others: list[tuple[str, Any]] = []

    def usage(self) -> StorageUse:
        """Return what was done so far, without a look at the store."""
        return self._use

    def count_read(self, rows: int, size: int) -> None:
        """Count one read: its rows, and their size in bytes."""
        with self._guard:
            use = self._use
            self._use = replace(
                use, reads=use.reads + 1, rows_read=use.rows_read + rows, bytes_read=use.bytes_read + size
            )

    def count_download(self, bars: int, seconds: float) -> None:
        """Count one response of a source, and the wait for it."""
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
        """Count the time of a block as time in the storage. Blocks inside it are not counted twice."""
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

    def include(self, name: str, numbers: Any) -> None:
        """Show a dataclass of numbers, which its owner keeps changing, in the `details` of `statistics`.

        Numbers of the same name are added up.
        """
        with self._guard:
            self._others.append((name, numbers))

    def others(self) -> Mapping[str, dict[str, Any]]:
        """Return the present values of what others count, by name."""
        with self._guard:
            others = list(self._others)
        found: dict[str, dict[str, Any]] = {}
        for name, numbers in others:
            sums = found.setdefault(name, {})
            for field, value in asdict(numbers).items():
                sums[field] = sums.get(field, 0) + value
        return found
