"""The reader of Lumibot's shared bar cache, `bars/v2/alpaca/ab/<digest>/2024-03.parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError
from lumibot_duckdb.sources.shared.old_cache.lumibot_import import lumibot_silent
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.storage.api import AssetKey

if TYPE_CHECKING:
    from lumibot_duckdb.sources.alpaca.old_cache.shared_series import SharedSeries


class SharedBarReader(CacheReader):
    """Reads the bars that Lumibot's sources share. Looks for `assets`, and for those that CSV files are named after."""

    name: ClassVar[str] = "Alpaca shared bars"
    contract: ClassVar[str] = "shared_bar_cache"

    def __init__(self, folder: Path, assets: Iterable[AssetKey] = ()) -> None:
        super().__init__(folder, assets)
        # Listed now, because a run that deletes verified files deletes the CSV files before it reads these.
        self._csv_files = sorted((folder / "alpaca").glob("*.csv"))

    def files(self) -> Sequence[Path]:
        """Return the files of all providers, and those of a series with the latest first."""
        found = [path for path in (self.folder / "bars").glob("v*/*/*/*/*.parquet") if path.is_file()]
        return sorted(sorted(found, reverse=True), key=lambda path: path.parent)

    def companions(self, path: Path) -> Sequence[Path]:
        """Return Lumibot's lock on a file and the notes on its series."""
        return [each for each in (path.with_name(path.name + ".lock"), _notes(path)) if each.is_file()]

    def companions_to_delete(self, path: Path) -> Sequence[Path]:
        """Return the companions, without the notes while other files remain: they tell Lumibot which are outdated."""
        alone = all(other == path for other in path.parent.glob("*.parquet"))
        return [each for each in self.companions(path) if alone or each != _notes(path)]

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the bars of a file."""
        return self._shared_series.contents_of(path)

    @cached_property
    def _shared_series(self) -> SharedSeries:
        try:
            with lumibot_silent():
                from lumibot_duckdb.sources.alpaca.old_cache.shared_series import SharedSeries
        except ImportError as error:
            raise LeftAloneError("it was written by Lumibot 4.6.25 or newer, and the installed one is older") from error
        return SharedSeries(self.files(), self._csv_files, self.assets)


def _notes(path: Path) -> Path:
    return path.with_name("series.json")
