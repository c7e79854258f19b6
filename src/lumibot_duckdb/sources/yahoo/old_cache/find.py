"""Finds the pickles of Lumibot's Yahoo cache: `yahoo/SPY_1d.pickle`, `_15m`, `_1m`, `_info`; older ones `_day_data`."""

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

TIMEFRAMES = {"1d": "day", "day_data": "day", "15m": "15minute", "1m": "minute"}
INFO = "info"
SUFFIX = ".pickle"


class YahooReader(CacheReader):
    """Reads Lumibot's Yahoo pickles, none of which is ever unpickled: see `restricted_pickle`."""

    name: ClassVar[str] = "Yahoo bars"

    def files(self) -> Sequence[Path]:
        """Return all pickles but those of Yahoo's words that belong to one; of a symbol's the newest first."""
        found = [path for path in (self.folder / "yahoo").glob(f"*{SUFFIX}") if path.is_file()]
        belonging = {info for path in found for info in self.companions(path)}
        return sorted((path for path in found if path not in belonging), key=_by_symbol)

    def companions(self, path: Path) -> Sequence[Path]:
        """Return the mirror's mark, and what Yahoo says of the symbol of bars."""
        said = [_words_on(path)] if _symbol_and_kind(path)[1] in TIMEFRAMES else []
        return [each for each in (marker_of(path), *said) if each.is_file()]

    def companions_to_delete(self, path: Path) -> Sequence[Path]:
        """Return those without Yahoo's words while there are other bars of the symbol, which are read by them."""
        symbol, kind = _symbol_and_kind(path)
        others = (path.with_name(f"{symbol}_{other}{SUFFIX}") for other in TIMEFRAMES if other != kind)
        alone = not any(other.is_file() for other in others)
        return [each for each in self.companions(path) if alone or each != _words_on(path)]

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the bars of a file."""
        symbol, kind = _symbol_and_kind(path)
        if kind == INFO:
            raise LeftAloneError("it says where a symbol is traded of which there are no bars; Yahoo is asked again")
        if kind not in TIMEFRAMES:
            raise LeftAloneError("its name is none that Lumibot gives to bars (SPY_1d.pickle, _15m, _1m)")
        with lumibot_silent():
            from lumibot_duckdb.sources.yahoo.old_cache.bars import contents_of
        return contents_of(path, symbol, kind)


def _words_on(path: Path) -> Path:
    return path.with_name(f"{_symbol_and_kind(path)[0]}_{INFO}{SUFFIX}")


def _by_symbol(path: Path) -> tuple[str, int, str]:
    return _symbol_and_kind(path)[0], -changed_at(path), path.name


def _symbol_and_kind(path: Path) -> tuple[str, str]:
    stem = path.name.removesuffix(SUFFIX)
    for kind in (*TIMEFRAMES, INFO):
        if stem.endswith(f"_{kind}"):
            return stem.removesuffix(f"_{kind}"), kind
    return stem, ""
