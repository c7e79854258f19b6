"""Requests a stock's splits once a day, and restates its stored history when they have changed.

A provider that adjusts its prices for splits restates the whole history of a stock with each new split. So a new split
starts a new version of the stock's stored series, and a backtest that started on the old version must not add bars of
the new one to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date

from lumibot_duckdb import clock
from lumibot_duckdb.sources.provider import StockSplit
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.api import AsOf, AssetKey, CorporateAction, DataStorageInterface, KnownActions
from lumibot_duckdb.storage.errors import HistoryRestatedError

logger = logging.getLogger(__name__)

SPLIT_ADJUSTED = "split"
"""The `adjustment` of series whose prices are adjusted for splits."""


class SplitCheck:
    """The splits of a backtest's stocks, as known when it first used each stock.

    Parameters:
        storage: returns the storage of the backtest.
        source: the source whose series are adjusted.
        fetch_splits: returns all splits of a symbol from the provider; None if it does not adjust its prices.
        as_of: read the history of that moment (tz-aware) or snapshot and send no requests; None: the current one.
        adjusted_on: returns the download day of a symbol's stored bars that were imported from an old cache without a
            list of splits; None if there are none. Later splits restate them.
    """

    def __init__(
        self,
        storage: Callable[[], DataStorageInterface],
        source: str,
        fetch_splits: Callable[[str], Sequence[StockSplit] | None],
        *,
        as_of: AsOf | None = None,
        adjusted_on: Callable[[str], date | None] = lambda symbol: None,
    ) -> None:
        self._storage = storage
        self._source = source
        self._fetch_splits = fetch_splits
        self._as_of = as_of
        self._adjusted_on = adjusted_on
        self._at_start: dict[str, tuple[CorporateAction, ...] | None] = {}

    def check(self, symbol: str) -> None:
        """Request a stock's splits, once a day; if they have changed, restate its stored history.

        Raises:
            ProviderError: the request failed, and no earlier answer is stored.
            HistoryRestatedError: another backtest has restated the history since this one started.
        """
        if symbol in self._at_start:
            self.refuse_restated(symbol)
            return
        known = self._request(symbol) if self._as_of is None else None
        self._at_start[symbol] = known.actions if known is not None else self._stored_splits(symbol)

    def is_adjusted(self, symbol: str) -> bool:
        """Check a stock's splits, and return whether its prices are adjusted for them. Raises as `check` does."""
        self.check(symbol)
        return self._at_start[symbol] is not None

    def refuse_restated(self, symbol: str) -> None:
        """Raise `HistoryRestatedError` if another backtest has recorded other splits since this one started."""
        at_start = self._at_start.get(symbol) if self._as_of is None else None
        known = self._stored_splits(symbol)
        if at_start is not None and known is not None and known != at_start:
            raise HistoryRestatedError(
                f"{symbol} was split, and another backtest restated its history while this one was running on the old "
                "history. The bars that this backtest still needs would not fit the old ones; run it again"
            )

    def _stored_splits(self, symbol: str) -> tuple[CorporateAction, ...] | None:
        known = self._storage().corporate_actions(AssetKey(symbol.upper()), self._source)
        return None if known is None else known.actions

    def _request(self, symbol: str) -> KnownActions | None:
        """Request a stock's splits, unless they were requested today: then return them."""
        stock = AssetKey(symbol.upper())
        known = self._storage().corporate_actions(stock, self._source)
        if known is not None and known.checked_at.astimezone().date() == clock.today():
            return known
        try:
            splits = self._fetch_splits(symbol)
        except ProviderError as error:
            if known is None:
                raise
            logger.warning("the splits of %s could not be checked: %s", symbol, error)
            return None
        if splits is not None:
            # An announced split does not change prices before its ex-date.
            self._record(stock, [split for split in splits if split.ex_date <= clock.today()], is_first=known is None)
        return None

    def _record(self, stock: AssetKey, splits: Sequence[StockSplit], *, is_first: bool) -> None:
        storage = self._storage()
        actions = [CorporateAction(each.ex_date, split_from=each.split_from, split_to=each.split_to) for each in splits]
        day = self._adjusted_on(stock.symbol) if is_first else None
        if day is not None:
            storage.record_corporate_actions(stock, [each for each in actions if each.ex_date <= day], self._source)
        if storage.record_corporate_actions(stock, actions, self._source, restates=(SPLIT_ADJUSTED,)):
            logger.info("the splits of %s have changed: its adjusted history is downloaded again", stock.symbol)
