"""An option chain in a file of an old cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface


@dataclass(frozen=True)
class CachedChain(CacheContent):
    """The options on a stock as of a date that expire within `days_ahead` days (None: no limit).

    `chain` is in the form that the source stores. Its keys in `not_compared` may differ from the stored chain.
    `listed_at` (tz-aware) is when the source listed the options.
    """

    underlying: AssetKey
    source: str
    as_of: date
    days_ahead: int | None
    chain: Mapping[str, Any]
    listed_at: datetime
    not_compared: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The stock, the date and the limit."""
        limit = "" if self.days_ahead is None else f" for {self.days_ahead} days"
        return f"option chain of {self.underlying.symbol} as of {self.as_of}{limit}"

    @property
    def rows(self) -> int:
        """The number of contracts."""
        return sum(len(strikes) for days in self.chain["Chains"].values() for strikes in days.values())

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return the number of contracts, or 0 if the store has a chain of the same date and limit."""
        return self.rows if self._stored(storage) is None else 0

    def check(self, storage: DataStorageInterface) -> int | None:
        """Refuse a chain that differs from the stored one."""
        stored = self._stored(storage)
        if stored is not None and not self._equals(stored):
            raise ConflictError(f"the store has a different {self.label}, which is kept")
        return None

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the chain unless the store has one of the same date and limit."""
        if self._stored(storage) is not None:
            return 0
        storage.store_option_chain(
            self.underlying,
            self.chain,
            self.source,
            self.as_of,
            days_ahead=self.days_ahead,
            listed_at=self.listed_at,
        )
        return self.rows

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare the chain with the stored one."""
        stored = self._stored(storage)
        if stored is None:
            return f"the store has no {self.label}"
        return None if self._equals(stored) else f"the store has a different {self.label}"

    def _stored(self, storage: DataStorageInterface) -> Mapping[str, Any] | None:
        found = storage.option_chain(self.underlying, self.source, self.as_of, self.as_of, days_ahead=self.days_ahead)
        return None if found is None else found.chain

    def _equals(self, stored: Mapping[str, Any]) -> bool:
        ours, theirs = (
            {name: value for name, value in chain.items() if name not in self.not_compared}
            for chain in (self.chain, stored)
        )
        return ours == theirs
