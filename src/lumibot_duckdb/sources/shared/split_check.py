"""Stock splits: asked of the provider once a day, and what follows when they have changed.

A provider that adjusts its prices for splits restates the whole history of a stock with each new one. So the stored
series of the stock begin a new version when a split appears, and a backtest that began on the old version may not add
bars of the new one to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime

from lumibot_duckdb.sources.provider import StockSplit
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, DataStorageInterface
from lumibot_duckdb.storage.errors import HistoryRestatedError

logger = logging.getLogger(__name__)

SPLIT_ADJUSTED = "split"
"""The `adjustment` of series whose prices are adjusted for splits."""


class SplitCheck:
    """The splits that one backtest's stocks had when it first touched them.

    Parameters:
        storage: returns the storage of the backtest.
        source: the source whose series are adjusted.
        ask: returns all splits of a symbol from the provider; None if it does not adjust its prices.
        as_of: the moment as of which the backtest reads history; nothing is asked then.
        adjusted_on: returns the day on which bars of a symbol were adjusted that came without splits, from an old
            cache; None if there are none. Later splits restate them.
    """

    def __init__(
        self,
        storage: Callable[[], DataStorageInterface],
        source: str,
        ask: Callable[[str], Sequence[StockSplit] | None],
        *,
        as_of: datetime | None = None,
        adjusted_on: Callable[[str], date | None] = lambda symbol: None,
    ) -> None:
        self._storage = storage
        self._source = source
        self._ask = ask
        self._as_of = as_of
        self._adjusted_on = adjusted_on
        self._began_with: dict[str, tuple[CorporateAction, ...] | None] = {}

    def check(self, symbol: str) -> None:
        """Request a stock's splits, once a day; if they have changed, restate its stored history.

        Raises:
            ProviderError: the provider cannot be asked, and never was.
            HistoryRestatedError: another backtest has restated the history since this one began.
        """
        if symbol in self._began_with:
            self.refuse_restated(symbol)
            return
        if self._as_of is None:
            self._request(symbol)
        self._began_with[symbol] = self._known(symbol)

    def is_adjusted(self, symbol: str) -> bool:
        """Check a stock's splits, and return whether its prices are adjusted for them. Raises as `check` does."""
        self.check(symbol)
        return self._began_with[symbol] is not None

    def refuse_restated(self, symbol: str) -> None:
        """Raise `HistoryRestatedError` if another backtest has found other splits since this one began."""
        began_with = self._began_with.get(symbol) if self._as_of is None else None
        known = self._known(symbol)
        if began_with is not None and known is not None and known != began_with:
            raise HistoryRestatedError(
                f"{symbol} was split, and another backtest restated its history while this one was running on the old "
                "one. This one needs more bars, which would not fit; run it again"
            )

    def _known(self, symbol: str) -> tuple[CorporateAction, ...] | None:
        known = self._storage().corporate_actions(AssetKey(symbol.upper()), self._source)
        return None if known is None else known.actions

    def _request(self, symbol: str) -> None:
        stock = AssetKey(symbol.upper())
        known = self._storage().corporate_actions(stock, self._source)
        if known is not None and known.checked_at.astimezone().date() == date.today():
            return
        try:
            splits = self._ask(symbol)
        except ProviderError as error:
            if known is None:
                raise
            logger.warning("the splits of %s could not be checked: %s", symbol, error)
            return
        if splits is not None:
            # A split that is only announced has not changed any price yet.
            self._record(stock, [split for split in splits if split.ex_date <= date.today()], is_first=known is None)

    def _record(self, stock: AssetKey, splits: Sequence[StockSplit], *, is_first: bool) -> None:
        storage = self._storage()
        actions = [CorporateAction(each.ex_date, split_from=each.split_from, split_to=each.split_to) for each in splits]
        day = self._adjusted_on(stock.symbol) if is_first else None
        if day is not None:
            storage.record_corporate_actions(stock, [each for each in actions if each.ex_date <= day], self._source)
        if storage.record_corporate_actions(stock, actions, self._source, restates=(SPLIT_ADJUSTED,)):
            logger.info("the splits of %s have changed: its adjusted history is downloaded again", stock.symbol)
