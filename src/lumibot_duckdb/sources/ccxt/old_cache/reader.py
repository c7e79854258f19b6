"""The reader of Lumibot's CCXT cache, `<exchange>/*.duckdb`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lumibot_duckdb.sources.ccxt.old_cache.names import SUFFIX, TIMEFRAMES
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.lumibot_import import lumibot_silent
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader


class CcxtReader(CacheReader):
    """Reads Lumibot's files of candles."""

    name: ClassVar[str] = "CCXT candles"
    contract: ClassVar[str] = "ccxt_cache"

    def files(self) -> Sequence[Path]:
        """Return the files of all exchanges."""
        names = [f"*/*_{timeframe}{SUFFIX}" for timeframe in TIMEFRAMES]
        return sorted(path for name in names for path in self.folder.glob(name) if path.is_file())

    def companions(self, path: Path) -> Sequence[Path]:
        """Return the log that DuckDB leaves next to a file when a program is killed while writing."""
        log = path.with_name(path.name + ".wal")
        return (log,) if log.is_file() else ()

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the candles of a file and the ranges that they cover."""
        with lumibot_silent():
            from lumibot_duckdb.sources.ccxt.old_cache.candles import contents_of
        return contents_of(path)
