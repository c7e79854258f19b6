"""Option chains from Lumibot's Polygon cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from lumibot_duckdb.sources.polygon.metadata import SOURCE
from lumibot_duckdb.sources.polygon.old_cache.names import chain_name
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.errors import MigrationError, UnreadableFileError
from lumibot_duckdb.sources.shared.old_cache.file_ages import written_at
from lumibot_duckdb.sources.shared.old_cache.option_chain import CachedChain
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.sources.shared.old_cache.table_file import read_table, table_files


class PolygonChainsReader(CacheReader):
    """Reads `polygon/option_chains/`, including chains with a limit in days (`_max30d`)."""

    name: ClassVar[str] = "Polygon option chains"
    contract: ClassVar[str] = "polygon_cache"

    def files(self) -> Sequence[Path]:
        """Return the files of chains."""
        return table_files(self.folder / "polygon" / "option_chains")

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the chain in a file."""
        name = chain_name(path.stem)
        return [CachedChain(name.underlying, SOURCE, name.as_of, name.days_ahead, read_chain(path), written_at(path))]


def read_chain(path: Path) -> dict[str, Any]:
    """Return the chain in a file. Raises `UnreadableFileError`."""
    table = read_table(path)
    if "data" not in table or len(table) != 1 or not isinstance(table["data"].iloc[0], Mapping):
        raise UnreadableFileError("it contains no option chain")
    try:
        return chain_as_sent(table["data"].iloc[0])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnreadableFileError(f"it contains no option chain ({error!r})") from None


def listed_options(folder: Path, symbol: str) -> set[tuple[date, float, str]]:
    """Return expiration, strike and right of all options on a stock that are in chains of a cache folder."""
    found = set()
    for path in table_files(folder / "polygon" / "option_chains"):
        try:
            if chain_name(path.stem).underlying.symbol != symbol:
                continue
            for right, days in read_chain(path)["Chains"].items():
                for day, strikes in days.items():
                    found |= {(date.fromisoformat(day), float(strike), right) for strike in strikes}
        except (MigrationError, ValueError):  # reported when this chain is read
            continue
    return found


def chain_as_sent(cached: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chain with the strikes as Polygon sent them.

    A file stores a list of strikes as floats if any has a fraction. Polygon sends whole numbers without a fraction, so
    they become integers again, unless a list with only whole floats shows that Polygon sent floats.
    """
    chains = {
        right: {day: strikes.tolist() if hasattr(strikes, "tolist") else list(strikes) for day, strikes in days.items()}
        for right, days in ((right, days or {}) for right, days in cached["Chains"].items())
    }
    lists = [strikes for days in chains.values() for strikes in days.values()]
    if not any(strikes and all(isinstance(each, float) and each.is_integer() for each in strikes) for strikes in lists):
        chains = {right: {day: _whole(strikes) for day, strikes in days.items()} for right, days in chains.items()}
    multiplier, exchange = cached["Multiplier"], cached["Exchange"]
    return {
        "Multiplier": int(multiplier) if multiplier is not None else None,
        "Exchange": exchange,
        "Chains": chains,
    }


def _whole(strikes: Iterable[float]) -> list[float]:
    return [int(strike) if float(strike).is_integer() else strike for strike in strikes]
