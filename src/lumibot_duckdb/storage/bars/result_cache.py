"""A cache for results of earlier reads, bounded in bytes. The least recently used ones go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

_LARGEST_PART = 4


class ResultCache:
    """A thread-safe map from requests to results, which never change."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._guard = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._hits = 0

    @property
    def bytes(self) -> int:
        """Size of the results that are held."""
        return self._bytes

    @property
    def hits(self) -> int:
        """How many reads were served from the cache."""
        return self._hits

    def get(self, key: Hashable) -> Any | None:
        """Return the result, or None if it is not held."""
        with self._guard:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            self._hits += 1
            return entry[0]

    def takes(self, size: int) -> bool:
        """Return whether a result of `size` bytes would be held. A very large one would displace all others."""
        return size <= self.capacity // _LARGEST_PART

    def put(self, key: Hashable, answer: Any, size: int) -> None:
        """Hold a result of `size` bytes, unless it is too large."""
        if not self.takes(size):
            return
        with self._guard:
            replaced = self._entries.pop(key, None)
            self._bytes += size - (replaced[1] if replaced else 0)
            self._entries[key] = (answer, size)
            while self._bytes > self.capacity:
                _, (_, gone) = self._entries.popitem(last=False)
                self._bytes -= gone

    def clear(self) -> None:
        """Drop all results."""
        with self._guard:
            self._entries.clear()
            self._bytes = 0
