"""Option chains from Polygon in one backtest, by Lumibot's rules of reuse, out of the store where it has them.

Lumibot takes a chain that it downloaded up to 14 days before for the current one. Which days those are depends on this
backtest alone: a chain comes out as if nothing had been stored before. That works since a chain holds all contracts
that expire on its day or later, so that one of an earlier day has everything that one of a later day has.
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
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface

logger = logging.getLogger(__name__)

CHAIN_REUSE = timedelta(days=polygon_helper.RECENT_FILE_TOLERANCE_DAYS)
"""For how long Lumibot takes an option chain for the current one."""

_USUAL_SHARES = 100  # adjusted contracts are for other numbers of shares; Lumibot leaves them out


class PolygonSource(Protocol):
    """Where chains come from."""

    as_of: datetime | None

    @property
    def storage(self) -> DataStorageInterface:
        """The storage."""

    @property
    def provider(self) -> PolygonProvider:
        """Polygon."""


class PolygonChains:
    """The chains of one backtest. `LUMIBOT_OPTION_CHAIN_MAX_DAYS` bounds their expirations, as in Lumibot."""

    def __init__(self, source: PolygonSource) -> None:
        self._source = source
        self._days: dict[tuple[str, int | None], list[date]] = {}

    def of(self, symbol: str, today: date) -> dict[str, Any]:
        """Return the chain of a stock as of a day of the backtest, for the caller to keep.

        `{"Multiplier": 100, "Exchange": "BATO", "Chains": {"CALL": {"2024-01-19": [465.0, 470.0]}, "PUT": {}}}`;
        the multiplier and the exchange are None for a stock without options. Raises ProviderError.
        """
        bound = option_chain_max_days()
        days = self._days.setdefault((symbol, bound), [])
        earliest = today - CHAIN_REUSE if bound is None else today
        known = max((day for day in days if earliest <= day <= today), default=None)
        chain = self._first_asked_for(symbol, known or today, bound)
        if known is None:
            days.append(today)
            # What Lumibot has just downloaded has an empty list for an expiration that there is not.
            rights = {right: defaultdict(list, expirations) for right, expirations in chain["Chains"].items()}
            return chain | {"Chains": rights}
        return chain

    def _first_asked_for(self, symbol: str, day: date, bound: int | None) -> dict[str, Any]:
        """Return the chain of a day, from the store if that has it or an earlier one that may serve."""
        storage, underlying = self._source.storage, AssetKey(symbol.upper())
        until = None if bound is None else day + timedelta(days=bound)
        stored = None if bound is None else storage.option_chain(underlying, SOURCE, day, day, days_ahead=bound)
        stored = stored or storage.option_chain(underlying, SOURCE, day - CHAIN_REUSE, day)
        if stored is not None:
            return _expiring_within(stored.chain, day, until)
        if self._source.as_of is not None:
            return _empty_chain()
        chain = self._download(symbol, day, until)
        storage.store_option_chain(underlying, chain, SOURCE, day, days_ahead=bound)
        return chain

    def _download(self, symbol: str, day: date, until: date | None) -> dict[str, Any]:
        logger.info("downloading the option chain of %s on %s; it is kept for later backtests", symbol, day)
        chain = _empty_chain()
        for contract in self._source.provider.option_contracts(symbol, expiring_from=day, expiring_to=until):
            if contract.shares == _USUAL_SHARES:
                chain["Multiplier"], chain["Exchange"] = contract.shares, contract.exchange
                strikes = chain["Chains"][contract.right.upper()].setdefault(contract.expiration.isoformat(), [])
                strikes.append(contract.strike)
        return chain


def _empty_chain() -> dict[str, Any]:
    return {"Multiplier": None, "Exchange": None, "Chains": {"CALL": {}, "PUT": {}}}


def _expiring_within(chain: dict[str, Any], first: date, last: date | None) -> dict[str, Any]:
    """Return a chain with what expires from `first` to `last` (None: whenever), both included."""
    begin, end = first.isoformat(), "9999" if last is None else last.isoformat()
    found = _empty_chain()
    found["Chains"] = {
        right: {day: strikes for day, strikes in expirations.items() if begin <= day <= end}
        for right, expirations in chain["Chains"].items()
    }
    if any(found["Chains"].values()):
        found |= {name: chain[name] for name in ("Multiplier", "Exchange")}
    return found
