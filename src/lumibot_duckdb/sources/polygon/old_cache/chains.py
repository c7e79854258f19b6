"""Option chains out of Lumibot's Polygon cache."""

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
    """Reads `polygon/option_chains/`, those with a bound of days (`_max30d`) included."""

    name: ClassVar[str] = "Polygon option chains"
    contract: ClassVar[str] = "polygon_cache"

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
        """Whose chain, and as of when."""
        return f"option chain of {self.name.underlying.symbol} as of {self.name.as_of}"

    @property
    def rows(self) -> int:
        """How many contracts it has."""
        return sum(len(strikes) for days in self.chain["Chains"].values() for strikes in days.values())

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return how many contracts there are, unless the store has a chain of the same date and bound."""
        return self.rows if self._stored(storage) is None else 0

    def check(self, storage: DataStorageInterface) -> int | None:
        """Refuse a chain of which the store has another."""
        if self._stored(storage) not in (None, self.chain):
            raise ConflictError(f"the store has another {self.label}; that one is kept")
        return None

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the chain unless there is one of the same date and bound."""
        if self._stored(storage) is not None:
            return 0
        name = self.name
        storage.store_option_chain(name.underlying, self.chain, SOURCE, name.as_of, days_ahead=name.days_ahead)
        return self.rows

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare with the chain that the store gives back."""
        return None if self._stored(storage) == self.chain else f"the store has another {self.label}"

    def _stored(self, storage: DataStorageInterface) -> Mapping[str, Any] | None:
        name = self.name
        found = storage.option_chain(name.underlying, SOURCE, name.as_of, name.as_of, days_ahead=name.days_ahead)
        return None if found is None else found.chain


def read_chain(path: Path) -> dict[str, Any]:
    """Return the chain in a file. Raises `UnreadableFileError`."""
    table = read_table(path)
    if "data" not in table or len(table) != 1 or not isinstance(table["data"].iloc[0], Mapping):
        raise UnreadableFileError("it holds no option chain")
    try:
        return chain_as_sent(table["data"].iloc[0])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnreadableFileError(f"it holds no option chain ({error!r})") from None


def listed_options(folder: Path, symbol: str) -> set[tuple[date, float, str]]:
    """Return expiration, strike and right of all options on a stock that chains of a cache folder list."""
    found = set()
    for path in table_files(folder / "polygon" / "option_chains"):
        try:
            if chain_name(path.stem).underlying.symbol != symbol:
                continue
            for right, days in read_chain(path)["Chains"].items():
                for day, strikes in days.items():
                    found |= {(date.fromisoformat(day), float(strike), right) for strike in strikes}
        except (MigrationError, ValueError):  # it is told when its turn comes
            continue
    return found


def chain_as_sent(cached: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chain with the strikes that Polygon sent.

    A list of strikes that are not all whole is one of floats in a file. Polygon writes whole numbers without a
    fraction, unless a list of nothing but whole floats shows that it does not.
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
