"""How the Polygon source marks what it stores. Free of Lumibot, so that whoever stores the same marks it alike."""

from __future__ import annotations

from datetime import date

import pandas as pd

from lumibot_duckdb.sources.shared.split_check import SPLIT_ADJUSTED as SPLIT_ADJUSTED
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesPin

SOURCE = "polygon"
TICKER = "ticker"
"""Key of an ingest's metadata: Polygon's name of the asset, None where there is no such option."""

WHOLE_NUMBERS = "whole_numbers"
"""Key of an ingest's metadata: the columns that came as whole numbers throughout."""

ADJUSTED_AS_OF = "adjusted_as_of"
"""Key of an ingest's metadata, of bars out of an old cache that knew no splits: the day (ISO) of their download."""


def whole_numbers(bars: pd.DataFrame) -> list[str]:
    """Return the columns that came as whole numbers throughout."""
    return [str(name) for name, dtype in bars.dtypes.items() if dtype == "int64"]


def adjusted_as_of(storage: DataStorageInterface, symbol: str) -> date | None:
    """Return as of which day, at the latest, all stored bars of a stock and options on it are adjusted.

    None if the store has none of which that has to be asked.
    """
    days = [
        day
        for info in storage.list_series(source=SOURCE)
        if info.key.asset.symbol == symbol and info.key.adjustment == SPLIT_ADJUSTED
        for day in days_of_adjustment(storage, storage.pin(info.key))
    ]
    return min(days, default=None)


def days_of_adjustment(storage: DataStorageInterface, pin: SeriesPin) -> set[date]:
    """Return the days of which the bars of a series are that came without splits."""
    return {
        date.fromisoformat(ingest.metadata[ADJUSTED_AS_OF])
        for ingest in storage.ingests(pin)
        if ADJUSTED_AS_OF in ingest.metadata
    }
