"""Option chains from Lumibot's Polygon cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from lumibot_duckdb.sources.polygon.metadata import SOURCE
from lumibot_duckdb.sources.polygon.old_cache.names import ChainName, chain_name
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError, MigrationError, UnreadableFileError
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.sources.shared.old_cache.table_file import read_table, table_files
from lumibot_duckdb.storage.api import DataStorageInterface


class PolygonChainsReader(CacheReader):
    """Reads `polygon/option_chains/`, including chains with a limit in days (`_max30d`)."""

    name: ClassVar[str] = "Polygon option chains"

    def files(self) -> Sequence[Path]:
        """Return the files of chains."""
        return table_files(self.folder / "polygon" / "option_chains")

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the chain in a file."""
        return [CachedChain(chain_name(path.stem), read_chain(path))]


@dataclass(frozen=True)
class CachedChain(CacheContent):
    """The options on a stock as of a date."""

    name: ChainName
    chain: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The stock and the date."""
        return f"option chain of {self.name.underlying.symbol} as of {self.name.as_of}"

    @property
    def rows(self) -> int:
        """The number of contracts."""
        return sum(len(strikes) for days in self.chain["Chains"].values() for strikes in days.values())

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return the number of contracts, or 0 if the store has a chain of the same date and limit."""
        return self.rows if self._stored(storage) is None else 0

    def check(self, storage: DataStorageInterface) -> int | None:
        """Refuse a chain that differs from the stored one."""
        if self._stored(storage) not in (None, self.chain):
            raise ConflictError(f"the store has a different {self.label}, which is kept")
        return None

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the chain unless the store has one of the same date and limit."""
        if self._stored(storage) is not None:
            return 0
        name = self.name
        storage.store_option_chain(name.underlying, self.chain, SOURCE, name.as_of, days_ahead=name.days_ahead)
        return self.rows

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare the chain with the stored one."""
        return None if self._stored(storage) == self.chain else f"the store has a different {self.label}"

    def _stored(self, storage: DataStorageInterface) -> Mapping[str, Any] | None:
        name = self.name
        found = storage.option_chain(name.underlying, SOURCE, name.as_of, name.as_of, days_ahead=name.days_ahead)
        return None if found is None else found.chain


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
