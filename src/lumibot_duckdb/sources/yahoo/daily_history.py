"""Daily histories for the benchmark and the risk-free rate of backtests on any source."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pandas as pd

from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.yahoo.client import YahooProvider
from lumibot_duckdb.sources.yahoo.history import YahooHistory
from lumibot_duckdb.storage.errors import StorageError

logger = logging.getLogger(__name__)

AFTER_THE_END = timedelta(days=7)
"""How far past a backtest's end bars are needed: Lumibot takes the rate of the nearest day, before or after."""


def daily_history(source: Any, symbol: str) -> pd.DataFrame | None:
    """Return a symbol's daily history as Lumibot's Yahoo helper returns it, downloaded to the store if necessary.

    If Yahoo cannot provide it up to the end of the backtest, this is logged, and the result is None.
    """
    history = YahooHistory(source.storage, YahooProvider(), symbol, as_of=source.as_of)
    try:
        history.ensure(source.datetime_end)
    except (ProviderError, StorageError) as error:
        logger.warning("Yahoo's history of %s is not available, so Lumibot continues without it: %s", symbol, error)
        return None
    try:
        history.ensure(source.datetime_end + AFTER_THE_END)
    except (ProviderError, StorageError) as error:
        logger.info("Yahoo's history of %s ends with the backtest: %s", symbol, error)
    return history.frame()
