"""Polygon's option chains for one backtest, by Lumibot's rules of reuse, from the store or downloaded.

Lumibot reuses a chain for up to 14 days after it was downloaded. The days on which a chain counts as downloaded depend
only on this backtest, so the result is the same as without a store. The store may use a chain of an earlier day for a
later one, because a chain has all contracts that expire on its day or later. But Polygon lists further contracts, so a
stored chain is downloaded again when it is too old (`shared/listings.py`).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from lumibot.tools import polygon_helper

from lumibot_duckdb.lumibot_contract.polygon_hooks import option_chain_max_days
from lumibot_duckdb.sources.polygon.client import PolygonProvider
from lumibot_duckdb.sources.polygon.metadata import SOURCE
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.listings import is_current
from lumibot_duckdb.sources.shared.reading_moment import day_of_reading
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface, OptionChain

logger = logging.getLogger(__name__)

CHAIN_REUSE = timedelta(days=polygon_helper.RECENT_FILE_TOLERANCE_DAYS)
"""How long Lumibot reuses an option chain."""

_STANDARD_SHARES = 100  # adjusted contracts are for other numbers of shares; Lumibot leaves them out


class PolygonSource(Protocol):
    """The parts of a data source that chains need."""

    as_of: datetime | None

    @property
    def storage(self) -> DataStorageInterface:
        """The storage."""

    @property
    def provider(self) -> PolygonProvider:
        """The Polygon client."""


class PolygonChains:
    """The chains of one backtest. `LUMIBOT_OPTION_CHAIN_MAX_DAYS` bounds their expirations, as in Lumibot."""

    def __init__(self, source: PolygonSource) -> None:
        self._source = source
        self._today = day_of_reading()  # no chain becomes too old during a backtest
        self._days: dict[tuple[str, int | None], list[date]] = {}
        self._not_listed_again: set[AssetKey] = set()

    def of(self, symbol: str, today: date) -> dict[str, Any]:
        """Return the chain of a stock as of a day of the backtest. The caller may modify it.

        `{"Multiplier": 100, "Exchange": "BATO", "Chains": {"CALL": {"2024-01-19": [465.0, 470.0]}, "PUT": {}}}`;
        the multiplier and the exchange are None for a stock without options. Raises `ProviderError`.
        """
        bound = option_chain_max_days()
        days = self._days.setdefault((symbol, bound), [])
        earliest = today - CHAIN_REUSE if bound is None else today
        known = max((day for day in days if earliest <= day <= today), default=None)
        chain = self._chain_of_day(symbol, known or today, bound)
        if known is None:
            days.append(today)
            # A chain that Lumibot has just downloaded returns an empty list for an unknown expiration.
            rights = {right: defaultdict(list, expirations) for right, expirations in chain["Chains"].items()}
            return chain | {"Chains": rights}
        return chain

    def _chain_of_day(self, symbol: str, day: date, bound: int | None) -> dict[str, Any]:
        """Return the chain of a day, from the store if it has that chain or one of an earlier day."""
        storage, underlying = self._source.storage, AssetKey(symbol.upper())
        until = None if bound is None else day + timedelta(days=bound)
        bounded = None if bound is None else storage.option_chain(underlying, SOURCE, day, day, days_ahead=bound)
        if bounded is not None and self._is_current(bounded, until):
            return _expiring_within(bounded.chain, day, until)
        stored = storage.option_chain(underlying, SOURCE, day - CHAIN_REUSE, day) or bounded
        if stored is not None and self._is_current(stored, until):
            return _expiring_within(stored.chain, day, until)
        if self._source.as_of is not None:
            return _empty_chain()
        try:
            chain = self._download(symbol, day, until)
        except ProviderError as error:
            if stored is None:
                raise
            logger.warning("the options of %s could not be listed again, so older lists are used: %s", symbol, error)
            self._not_listed_again.add(underlying)
            return _expiring_within(stored.chain, day, until)
        storage.store_option_chain(underlying, chain, SOURCE, day, days_ahead=bound)
        return chain

    def _is_current(self, stored: OptionChain, until: date | None) -> bool:
        """Return whether a stored chain has all contracts that expire up to a day (None: any), or must do."""
        if self._source.as_of is not None or stored.underlying in self._not_listed_again:
            return True
        return is_current(stored.listed_at.astimezone().date(), until, self._today)

    def _download(self, symbol: str, day: date, until: date | None) -> dict[str, Any]:
        logger.info("downloading the option chain of %s on %s; it is stored for later backtests", symbol, day)
        chain = _empty_chain()
        for contract in self._source.provider.option_contracts(symbol, expiring_from=day, expiring_to=until):
            if contract.shares == _STANDARD_SHARES:
                chain["Multiplier"], chain["Exchange"] = contract.shares, contract.exchange
                strikes = chain["Chains"][contract.right.upper()].setdefault(contract.expiration.isoformat(), [])
                strikes.append(contract.strike)
        return chain


def _empty_chain() -> dict[str, Any]:
    return {"Multiplier": None, "Exchange": None, "Chains": {"CALL": {}, "PUT": {}}}


def _expiring_within(chain: dict[str, Any], first: date, last: date | None) -> dict[str, Any]:
    """Return a chain with the contracts that expire from `first` to `last` (None: no limit), both included."""
    begin, end = first.isoformat(), "9999" if last is None else last.isoformat()
    found = _empty_chain()
    found["Chains"] = {
        right: {day: strikes for day, strikes in expirations.items() if begin <= day <= end}
        for right, expirations in chain["Chains"].items()
    }
    if any(found["Chains"].values()):
        found |= {name: chain[name] for name in ("Multiplier", "Exchange")}
    return found
