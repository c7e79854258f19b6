"""The metadata that the Polygon source stores with its bars. Does not import Lumibot, so other writers can use it."""

from __future__ import annotations

from datetime import date

import pandas as pd

from lumibot_duckdb.sources.shared.split_check import SPLIT_ADJUSTED as SPLIT_ADJUSTED
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesPin

SOURCE = "polygon"
TICKER = "ticker"
"""Key of an ingest's metadata: Polygon's ticker of the asset, None for an option that does not exist."""

WHOLE_NUMBERS = "whole_numbers"
"""Key of an ingest's metadata: the columns in which Polygon sent only whole numbers."""

ADJUSTED_AS_OF = "adjusted_as_of"
"""Key of an ingest's metadata, for bars from an old cache without a list of splits: the day (ISO) of their download."""


def whole_numbers(bars: pd.DataFrame) -> list[str]:
    """Return the columns that have only whole numbers."""
    return [str(name) for name, dtype in bars.dtypes.items() if dtype == "int64"]


def adjusted_as_of(storage: DataStorageInterface, symbol: str) -> date | None:
    """Return the earliest day for whose splits stored bars of a stock, or of options on it, are adjusted.

    None if the store has no bars that were imported without a list of splits.
    """
    days = [
        day
        for info in storage.list_series(source=SOURCE)
        if info.key.asset.symbol == symbol and info.key.adjustment == SPLIT_ADJUSTED
        for day in days_of_adjustment(storage, storage.pin(info.key))
    ]
    return min(days, default=None)


def days_of_adjustment(storage: DataStorageInterface, pin: SeriesPin) -> set[date]:
    """Return the download days of the bars of a series that were imported without a list of splits."""
    return {
        date.fromisoformat(ingest.metadata[ADJUSTED_AS_OF])
        for ingest in storage.ingests(pin)
        if ADJUSTED_AS_OF in ingest.metadata
    }
