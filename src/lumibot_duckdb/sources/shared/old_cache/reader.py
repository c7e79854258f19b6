"""The interface of readers, one for each kind of Lumibot's cache files."""

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
    """The kind of files, for reports: "Polygon bars"."""

    contract: ClassVar[str]
    """The part of `lumibot_contract` that lists what reading the files relies on: "polygon_cache"."""

    def __init__(self, folder: Path, assets: Iterable[AssetKey] = ()) -> None:
        self.folder = folder
        """Lumibot's cache folder, which holds `polygon/`, `yahoo/`, ..."""
        self.assets = tuple(assets)
        """Assets that may be in the folder, for files whose names do not contain the asset."""

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """Return the files of this kind in the folder, in the order in which they must be migrated."""

    def companions(self, path: Path) -> Sequence[Path]:
        """Return files that belong to a file and are useless without it, such as a snapshot of splits or a lock."""
        return ()

    def companions_to_delete(self, path: Path) -> Sequence[Path]:
        """Return the companions to delete together with a file: those that no other file needs."""
        return self.companions(path)

    @abstractmethod
    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the contents of a file. Raises a `MigrationError` with the reason if it cannot be migrated."""
