"""The reader of Lumibot's Yahoo cache, `yahoo/*.pickle`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError
from lumibot_duckdb.sources.shared.old_cache.file_ages import changed_at
from lumibot_duckdb.sources.shared.old_cache.lumibot_import import lumibot_silent
from lumibot_duckdb.sources.shared.old_cache.mirror import marker_of
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.sources.yahoo.old_cache.names import INFO, SUFFIX, TIMEFRAMES, info_file, symbol_and_kind


class YahooReader(CacheReader):
    """Reads Lumibot's Yahoo pickles. None is ever unpickled: see `restricted_pickle`."""

    name: ClassVar[str] = "Yahoo bars"
    contract: ClassVar[str] = "yahoo_cache"

    def files(self) -> Sequence[Path]:
        """Return all pickles except `_info` files of symbols with bars, and those of a symbol with the newest first."""
        found = [path for path in (self.folder / "yahoo").glob(f"*{SUFFIX}") if path.is_file()]
        belonging = {info for path in found for info in self.companions(path)}
        return sorted((path for path in found if path not in belonging), key=_by_symbol)

    def companions(self, path: Path) -> Sequence[Path]:
        """Return the mirror's marker and, for bars, the `_info` file of the symbol."""
        info = [info_file(path)] if symbol_and_kind(path)[1] in TIMEFRAMES else []
        return [each for each in (marker_of(path), *info) if each.is_file()]

    def companions_to_delete(self, path: Path) -> Sequence[Path]:
        """Return the companions, without the `_info` file while other bars of the symbol need it."""
        symbol, kind = symbol_and_kind(path)
        others = (path.with_name(f"{symbol}_{other}{SUFFIX}") for other in TIMEFRAMES if other != kind)
        alone = not any(other.is_file() for other in others)
        return [each for each in self.companions(path) if alone or each != info_file(path)]

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the bars of a file."""
        symbol, kind = symbol_and_kind(path)
        if kind == INFO:
            raise LeftAloneError("it has the market of a symbol without bars, which is requested from Yahoo again")
        if kind not in TIMEFRAMES:
            raise LeftAloneError("its name is not one that Lumibot gives to bars (SPY_1d.pickle, _15m, _1m)")
        with lumibot_silent():
            from lumibot_duckdb.sources.yahoo.old_cache.bars import contents_of
        return contents_of(path, symbol, kind)


def _by_symbol(path: Path) -> tuple[str, int, str]:
    return symbol_and_kind(path)[0], -changed_at(path), path.name
