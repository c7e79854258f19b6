"""What a reader of one kind of Lumibot's cache files must give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.storage.api import AssetKey


class CacheReader(ABC):
    """Reads one kind of file. Never writes to the cache folder."""

    name: ClassVar[str]
    """What the files are, for a person: "Polygon bars"."""

    contract: ClassVar[str]
    """The part of `lumibot_contract` that lists what reading the files relies on: "polygon_cache"."""

    def __init__(self, folder: Path, assets: Iterable[AssetKey] = ()) -> None:
        self.folder = folder
        """Lumibot's cache folder, which holds `polygon/`, `yahoo/`, ..."""
        self.assets = tuple(assets)
        """What may be in the folder, for files whose names do not tell."""

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """Return the files of this kind in the folder, in the order in which they are to be brought in."""

    def companions(self, path: Path) -> Sequence[Path]:
        """Return files that belong to one of them and mean nothing without it (a snapshot of splits, a lock)."""
        return ()

    def companions_to_delete(self, path: Path) -> Sequence[Path]:
        """Return those that go when the file is deleted: all that no other file needs."""
        return self.companions(path)

    @abstractmethod
    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return what a file holds. Raises a `MigrationError` with the reason when it is not to be brought in."""
