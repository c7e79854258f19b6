"""Checks once a day, by Alpaca's splits and dividends, whether a stock's stored adjusted prices are still current.

The check runs before bars are added to stored ones, and never if nothing has to be downloaded. A change restates the
stock's adjusted series. A backtest that has already read the old prices cannot add bars to them, and is stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from lumibot_duckdb import clock
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
"""Metadata key of a write with bars from Lumibot's cache: when Alpaca returned them (ISO, UTC)."""

RESTATES = {SPLIT: (SPLIT_ADJUSTED, ADJUSTED), DIVIDEND: (ADJUSTED,)}
"""The adjustments whose prices a kind of corporate action changes."""


class AdjustedHistory:
    """The corporate actions of one backtest's stocks, as known when it first added bars of each stock."""

    def __init__(self, storage: Callable[[], DataStorageInterface], provider: Callable[[], AlpacaProvider]) -> None:
        self._storage = storage
        self._provider = provider
        self._at_start: dict[str, tuple[Any, Any]] = {}
        self._new: set[str] = set()

    def check(self, symbol: str, adjustment: str, *, read_before: bool) -> None:
        """Check, before bars are added, that they will be adjusted like the stored ones.

        Parameters:
            symbol: the stock.
            adjustment: the adjustment of the bars.
            read_before: whether the backtest has read stored bars of the stock.

        Raises:
            HistoryRestatedError: the new bars would not fit those that the backtest has read.
        """
        if symbol in self._new:
            return
        if symbol in self._at_start:
            self._refuse_if(self._stored_actions(symbol) != self._at_start[symbol], symbol)
            return
        storage, stock = self._storage(), AssetKey(symbol.upper())
        stored = [info for info in storage.list_series(stock, SOURCE) if info.rows and info.key.adjustment]
        if not any(info.key.adjustment == adjustment for info in stored):
            self._new.add(symbol)
            return
        known = storage.corporate_actions(stock, SOURCE, SPLIT)
        if known is None or _day(known.checked_at) != _day(None):
            try:
                self._refuse_if(self._update(stock, known, stored) and read_before, symbol)
            except ProviderError as error:
                logger.warning("the splits and dividends of %s could not be checked: %s", symbol, error)
        self._at_start[symbol] = self._stored_actions(symbol)

    def _update(self, stock: AssetKey, known: KnownActions | None, stored: Sequence[SeriesInfo]) -> bool:
        """Download the actions in effect and store them; return whether the stock's adjusted series are restated."""
        today = _day(None)
        provider = self._provider()
        splits, dividends = provider.split_actions(stock.symbol, today), provider.dividend_actions(stock.symbol, today)
        changed = False
        first = self._first_written(stored) if known is None else None
        for kind, found in ((SPLIT, splits), (DIVIDEND, dividends)):
            actions = [_action(action) for action in found if action.ex_date <= today]
            if first is not None:  # record what the oldest bars are adjusted for, as if requested with them
                before = [action for action in actions if action.ex_date < _day(first)]
                self._storage().record_corporate_actions(stock, before, SOURCE, kind, checked_at=first)
            changed |= self._storage().record_corporate_actions(stock, actions, SOURCE, kind, restates=RESTATES[kind])
        if changed:
            logger.info("%s was split or paid a dividend: its adjusted history is downloaded again", stock.symbol)
        return changed

    def _first_written(self, stored: Sequence[SeriesInfo]) -> datetime | None:
        """Return when Alpaca returned the earliest of the stored bars."""
        storage = self._storage()
        written = [given_at(ingest) for info in stored for ingest in storage.ingests(storage.pin(info.key))]
        return min(written, default=None)

    def _stored_actions(self, symbol: str) -> tuple[Any, Any]:
        found = [self._storage().corporate_actions(AssetKey(symbol.upper()), SOURCE, kind) for kind in RESTATES]
        splits, dividends = (None if known is None else known.actions for known in found)
        return splits, dividends

    @staticmethod
    def _refuse_if(changed: bool, symbol: str) -> None:
        if changed:
            raise HistoryRestatedError(
                f"{symbol} was split or paid a dividend since its bars were stored, and its adjusted history is "
                "restated. This backtest has read the old one and needs more bars, which would not fit; run it again"
            )


def given_at(ingest: IngestInfo) -> datetime:
    """Return when Alpaca returned the bars of a write: earlier than the write if they come from Lumibot's cache."""
    noted = ingest.metadata.get(GIVEN_AT)
    return ingest.ingested_at if noted is None else datetime.fromisoformat(noted)


def _action(action: StockAction) -> CorporateAction:
    return CorporateAction(action.ex_date, split_from=action.before, split_to=action.after, amount=action.amount)


def _day(moment: datetime | None) -> date:
    """Return the day in New York of a moment, or today."""
    return clock.today(NEW_YORK) if moment is None else moment.astimezone(NEW_YORK).date()
