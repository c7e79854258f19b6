"""Whether a stock's adjusted prices are still those that the store has: Alpaca's splits and dividends, once a day.

Asked before bars are added to a stock of which the store already has some; never when nothing has to be downloaded. A
change begins the stock's adjusted series anew. A backtest that has read the old ones by then cannot go on with more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from lumibot_duckdb.sources.alpaca.client import AlpacaProvider, StockAction
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.api import (
    AssetKey,
    CorporateAction,
    DataStorageInterface,
    IngestInfo,
    KnownActions,
    SeriesInfo,
)
from lumibot_duckdb.storage.errors import HistoryRestatedError
from lumibot_duckdb.storage.times import NEW_YORK

logger = logging.getLogger(__name__)

SOURCE = "alpaca"
SPLIT, DIVIDEND = "split", "dividend"
ADJUSTED, SPLIT_ADJUSTED = "all", "split"
GIVEN_AT = "given_at"
"""What a write notes whose bars come from Lumibot's cache: when Alpaca had given them (ISO, UTC)."""

RESTATES = {SPLIT: (SPLIT_ADJUSTED, ADJUSTED), DIVIDEND: (ADJUSTED,)}
"""The adjustments whose prices a kind of corporate action changes."""


class AdjustedHistory:
    """What one backtest knows of the corporate actions of its stocks."""

    def __init__(self, storage: Callable[[], DataStorageInterface], provider: Callable[[], AlpacaProvider]) -> None:
        self._storage = storage
        self._provider = provider
        self._began_with: dict[str, tuple[Any, Any]] = {}
        self._new: set[str] = set()

    def check(self, symbol: str, adjustment: str, *, read_before: bool) -> None:
        """Make sure, before bars are added, that they will fit those that there are; `read_before`: and were read.

        Raises `HistoryRestatedError` when they will not.
        """
        if symbol in self._new:
            return
        if symbol in self._began_with:
            self._refuse_if(self._known(symbol) != self._began_with[symbol], symbol)
            return
        storage, stock = self._storage(), AssetKey(symbol.upper())
        stored = [info for info in storage.list_series(stock, SOURCE) if info.rows and info.key.adjustment]
        if not any(info.key.adjustment == adjustment for info in stored):
            self._new.add(symbol)
            return
        known = storage.corporate_actions(stock, SOURCE, SPLIT)
        if known is None or _day(known.checked_at) != _day(None):
            try:
                self._refuse_if(self._ask(stock, known, stored) and read_before, symbol)
            except ProviderError as error:
                logger.warning("the splits and dividends of %s could not be checked: %s", symbol, error)
        self._began_with[symbol] = self._known(symbol)

    def _ask(self, stock: AssetKey, known: KnownActions | None, stored: Sequence[SeriesInfo]) -> bool:
        """Ask for all actions that are in force; tell whether the stock's adjusted series begin anew."""
        today = _day(None)
        splits, dividends = (
            ask(stock.symbol, today) for ask in (self._provider().split_actions, self._provider().dividend_actions)
        )
        changed = False
        first = self._first_written(stored) if known is None else None
        for kind, found in ((SPLIT, splits), (DIVIDEND, dividends)):
            actions = [_action(action) for action in found if action.ex_date <= today]
            if first is not None:  # what the oldest bars were adjusted for, as if it had been asked for with them
                before = [action for action in actions if action.ex_date < _day(first)]
                self._storage().record_corporate_actions(stock, before, SOURCE, kind, checked_at=first)
            changed |= self._storage().record_corporate_actions(stock, actions, SOURCE, kind, restates=RESTATES[kind])
        if changed:
            logger.info("%s was split or paid a dividend: its adjusted history is downloaded anew", stock.symbol)
        return changed

    def _first_written(self, stored: Sequence[SeriesInfo]) -> datetime | None:
        """Return when Alpaca had given the first of the stored bars."""
        storage = self._storage()
        written = [given_at(ingest) for info in stored for ingest in storage.ingests(storage.pin(info.key))]
        return min(written, default=None)

    def _known(self, symbol: str) -> tuple[Any, Any]:
        found = [self._storage().corporate_actions(AssetKey(symbol.upper()), SOURCE, kind) for kind in RESTATES]
        splits, dividends = (None if known is None else known.actions for known in found)
        return splits, dividends

    @staticmethod
    def _refuse_if(changed: bool, symbol: str) -> None:
        if changed:
            raise HistoryRestatedError(
                f"{symbol} was split or paid a dividend since its bars were stored, and its adjusted history begins "
                "anew. This backtest has read the old one and needs more bars now, which would not fit; run it again"
            )


def given_at(ingest: IngestInfo) -> datetime:
    """Return when Alpaca had given the bars of a write: earlier than the write, if they come from Lumibot's cache."""
    noted = ingest.metadata.get(GIVEN_AT)
    return ingest.ingested_at if noted is None else datetime.fromisoformat(noted)


def _action(action: StockAction) -> CorporateAction:
    return CorporateAction(action.ex_date, split_from=action.before, split_to=action.after, amount=action.amount)


def _day(moment: datetime | None) -> date:
    """Return the day in New York of a moment, or today."""
    return (datetime.now(NEW_YORK) if moment is None else moment.astimezone(NEW_YORK)).date()
