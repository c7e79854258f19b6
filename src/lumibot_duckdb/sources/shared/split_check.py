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
    """

    def __init__(
        self,
        storage: Callable[[], DataStorageInterface],
        source: str,
        ask: Callable[[str], Sequence[StockSplit] | None],
        *,
        as_of: datetime | None = None,
    ) -> None:
        self._storage = storage
        self._source = source
        self._ask = ask
        self._as_of = as_of
        self._began_with: dict[str, tuple[CorporateAction, ...] | None] = {}

    def is_adjusted(self, symbol: str) -> bool:
        """Return whether the provider adjusts prices of a stock for splits; its splits are checked once a day.

        Raises:
            ProviderError: the provider cannot be asked, and never was.
        """
        if symbol not in self._began_with:
            if self._as_of is None:
                self._check(symbol)
            self._began_with[symbol] = self._known(symbol)
        return self._began_with[symbol] is not None

    def refuse_restated(self, symbol: str) -> None:
        """Raise `HistoryRestatedError` if another backtest has found other splits since this one began."""
        began_with = self._began_with.get(symbol)
        if began_with is not None and self._known(symbol) != began_with:
            raise HistoryRestatedError(
                f"{symbol} was split, and another backtest restated its history while this one was running on the old "
                "one. This one needs more bars, which would not fit; run it again"
            )

    def _known(self, symbol: str) -> tuple[CorporateAction, ...] | None:
        known = self._storage().corporate_actions(AssetKey(symbol.upper()), self._source)
        return None if known is None else known.actions

    def _check(self, symbol: str) -> None:
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
        if splits is None:
            return
        # A split that is only announced has not changed any price yet.
        actions = [
            CorporateAction(split.ex_date, split_from=split.split_from, split_to=split.split_to)
            for split in splits
            if split.ex_date <= date.today()
        ]
        if self._storage().record_corporate_actions(stock, actions, self._source, restates=(SPLIT_ADJUSTED,)):
            logger.info("the splits of %s have changed: its adjusted history is downloaded again", symbol)
