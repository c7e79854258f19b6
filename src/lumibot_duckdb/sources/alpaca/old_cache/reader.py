"""The readers of Lumibot's Alpaca cache: CSV files, each with the bars of one window, and option chains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.file_ages import changed_at
from lumibot_duckdb.sources.shared.old_cache.lumibot_import import lumibot_silent
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader


class AlpacaReader(CacheReader):
    """Reads the CSV files of bars."""

    name: ClassVar[str] = "Alpaca bars"
    contract: ClassVar[str] = "alpaca_cache"

    def files(self) -> Sequence[Path]:
        """Return all files, newest first, because newer files have the current adjusted prices."""
        found = [path for path in (self.folder / "alpaca").glob("*.csv") if path.is_file()]
        return sorted(found, key=lambda path: (-changed_at(path), path.name))

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the bars that Alpaca returned."""
        with lumibot_silent():
            from lumibot_duckdb.sources.alpaca.old_cache.files import bars_of
        return bars_of(path)


class AlpacaChainReader(CacheReader):
    """Reads the option chains, each as of one day of a backtest."""

    name: ClassVar[str] = "Alpaca option chains"
    contract: ClassVar[str] = "alpaca_cache"

    def files(self) -> Sequence[Path]:
        """Return all chains, newest first."""
        found = [path for path in (self.folder / "alpaca" / "option_chains").glob("*.json") if path.is_file()]
        return sorted(found, key=lambda path: (-changed_at(path), path.name))

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the chain of a file."""
        with lumibot_silent():
            from lumibot_duckdb.sources.alpaca.old_cache.files import chain_of
        return chain_of(path)
