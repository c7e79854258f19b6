"""Alpaca's option chains for one backtest, from the store or downloaded.

A chain has all contracts that expire in a window of days. A listing of contracts is downloaded for a longer window than
requested, so that it serves later days of the backtest and later backtests. Contracts that had expired when a listing
was made never change; for all others, a listing may be downloaded again later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, TypeAlias

from lumibot_duckdb import clock
from lumibot_duckdb.sources.alpaca.client import AlpacaProvider, OptionContract
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.listings import is_current
from lumibot_duckdb.sources.shared.reading_moment import day_of_reading
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface

logger = logging.getLogger(__name__)

SOURCE = "alpaca"
LISTED_ON = "ListedOn"
"""Key of a stored chain: the day on which its contracts were listed (ISO)."""

Listed: TypeAlias = "tuple[date, str, float]"
"""Expiration, right ("CALL" or "PUT") and strike (dollars) of a contract."""

Listing: TypeAlias = "tuple[date, date, list[Listed]]"
"""The first and the last expiration day of a list of contracts, and the contracts."""


class AlpacaListings:
    """The listings of contracts that one backtest uses.

    Parameters:
        storage: returns the storage of the backtest.
        provider: returns the provider; None if nothing may be downloaded.
        parse: returns a contract's expiration, right and strike; None if it is not a standard contract.
        usual: how many days a chain reaches ahead.
        extra: how many more days a listing reaches ahead.
    """

    def __init__(
        self,
        storage: Callable[[], DataStorageInterface],
        provider: Callable[[], AlpacaProvider | None],
        parse: Callable[[OptionContract, str], Listed | None],
        *,
        usual: int,
        extra: int,
    ) -> None:
        self._storage = storage
        self._provider = provider
        self._parse = parse
        self._usual = usual + extra
        self._extra = extra
        self._recent: dict[str, Listing] = {}

    def of(self, symbol: str, first: date, last: date) -> list[Listed]:
        """Return the standard contracts on a stock that expire from `first` to `last`. Raises `ProviderError`."""
        recent = self._recent.get(symbol)
        if recent is None or first < recent[0] or recent[1] < last:
            recent = self._recent[symbol] = self._stored(symbol, first, last) or self._requested(symbol, first, last)
        return [contract for contract in recent[2] if first <= contract[0] <= last]

    def _stored(self, symbol: str, first: date, last: date, *, of_any_age: bool = False) -> Listing | None:
        underlying = AssetKey(symbol)
        exactly = (last - first).days  # the bound of chains from Lumibot's cache
        for ahead in dict.fromkeys((self._usual, exactly + self._extra, exactly)):
            bound = timedelta(days=ahead)
            found = self._storage().option_chain(underlying, SOURCE, last - bound, first, days_ahead=ahead)
            if found is None:
                continue
            if of_any_age or is_current(date.fromisoformat(found.chain[LISTED_ON]), last, day_of_reading()):
                return found.as_of, found.as_of + bound, _contracts(found.chain)
        return None

    def _requested(self, symbol: str, first: date, last: date) -> Listing:
        """Return the contracts that Alpaca lists now; those listed before if it cannot be asked."""
        outdated = self._stored(symbol, first, last, of_any_age=True)
        provider = self._provider()
        if provider is None:
            return outdated or (first, last, [])
        try:
            return self._listed(provider, symbol, first, last)
        except ProviderError as error:
            if outdated is None:
                raise
            logger.warning("the options of %s could not be listed again, so an older list is used: %s", symbol, error)
            return outdated

    def _listed(self, provider: AlpacaProvider, symbol: str, first: date, last: date) -> Listing:
        until = last + timedelta(days=self._extra)
        root = "".join(character for character in symbol.upper() if character.isalnum())
        answer = provider.option_contracts(symbol, first, until)
        contracts = [parsed for contract in answer if (parsed := self._parse(contract, root)) is not None]
        chain = {LISTED_ON: clock.today().isoformat(), "Chains": sides_of(contracts)}
        self._storage().store_option_chain(AssetKey(symbol), chain, SOURCE, first, days_ahead=(until - first).days)
        return first, until, contracts


def sides_of(contracts: list[Listed]) -> dict[str, dict[str, list[float]]]:
    """Return contracts in Lumibot's form: sorted strikes by right and expiration (ISO)."""
    sides: dict[str, dict[str, set[float]]] = {"CALL": {}, "PUT": {}}
    for expiration, right, strike in contracts:
        sides[right].setdefault(expiration.isoformat(), set()).add(strike)
    return {
        right: {day: sorted(strikes) for day, strikes in sorted(expirations.items())}
        for right, expirations in sides.items()
    }


def _contracts(chain: dict[str, Any]) -> list[Listed]:
    return [
        (date.fromisoformat(day), right, strike)
        for right, expirations in chain["Chains"].items()
        for day, strikes in expirations.items()
        for strike in strikes
    ]
