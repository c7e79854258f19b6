"""Builds Lumibot's own pandas source and ours from the same frames."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Data

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from parity.series import Market


def pandas_data(market: Market) -> list[Data]:
    """Return the frames in Lumibot's form; `Data` modifies its frame, so each gets a copy."""
    return [
        Data(asset, frame.copy(), timestep=market.timestep, quote=quote)
        for (asset, quote), frame in market.frames.items()
    ]


def store(market: Market, folder: Path) -> DuckDBDataStorage:
    """Return a new store with the frames in it."""
    storage = DuckDBDataStorage(folder / "parity.duckdb")
    for (asset, quote), frame in market.frames.items():
        storage.store_ohlcv_data((asset, quote), frame, "parity", market.timestep)
    return storage


def our_class(market: Market, storage: Any, **settings: Any) -> type[PandasDataBacktesting]:
    """Return our class on the stored frames."""
    return PandasDataBacktesting.using(
        storage, source="parity", assets=list(market.frames), timestep=market.timestep, **settings
    )


def both_sources(
    market: Market,
    storage: Any = None,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    **settings: Any,
) -> tuple[Any, Any]:
    """Return Lumibot's source and ours, loaded, over the same span. Ours gets frames, too, if there is no storage."""
    theirs, (ours,) = all_sources(market, [storage], start, end, **settings)
    return theirs, ours


def all_sources(
    market: Market,
    storages: Sequence[Any],
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    **settings: Any,
) -> tuple[Any, list[Any]]:
    """Return Lumibot's source, and ours on each storage; loaded, over the same span. For None, ours gets frames."""
    span: dict[str, dt.datetime] = {
        "datetime_start": (start if start is not None else market.start).to_pydatetime(),
        "datetime_end": (end if end is not None else market.end).to_pydatetime(),
    }
    theirs = LumibotPandasDataBacktesting(**span, pandas_data=pandas_data(market), show_progress_bar=False)
    ours = [
        PandasDataBacktesting(**span, pandas_data=pandas_data(market), show_progress_bar=False, **settings)
        if storage is None
        else our_class(market, storage, **settings)(**span, show_progress_bar=False)
        for storage in storages
    ]
    for source in (theirs, *ours):
        source.load_data()
    return theirs, ours
