"""Which files of old caches have been migrated into the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class MigratedFiles(ABC):
    """The record of migrated files, by path and fingerprint. The fingerprint identifies the contents of a file."""

    @abstractmethod
    def remember(self, path: str, fingerprint: str, rows: int, versions: Sequence[int]) -> None:
        """Record that the rows of a file are in the store, the bars among them in these series versions."""

    @abstractmethod
    def rows(self, path: str, fingerprint: str) -> int | None:
        """Return how many rows were migrated from a file, if all of them are still there.

        None for an unknown file or fingerprint, and if one of the versions is not current any more because the series
        was deleted or restated.
        """
