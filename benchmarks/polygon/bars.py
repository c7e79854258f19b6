"""The bars of `benchmarks.bars` in Polygon's form, in Lumibot's own Parquet cache and in one of our stores.

Both cover everything that a backtest between `START` and `END` needs, and the splits count as checked today, so neither
side downloads anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bars import FIRST_DAY, LAST_DAY, SYMBOLS, Workplace, named, open_store
from benchmarks.process import run_apart
from lumibot_duckdb.demo.market import MARKET_TIME_ZONE, symbol_names, us_stock_bars
from lumibot_duckdb.storage.api import AssetKey, TimeRange

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

SOURCE = "polygon"
START, END = "2022-02-01", "2023-12-29"
"""The longest backtest that the bars allow. Requests at its start look back into January."""

# While it holds a stock, Lumibot looks for splits before the backtest, over twice its length.
_ASKED_FROM = date(2018, 1, 1)

Settings = dict[str, str]


def polygon_bars(symbol: str, first: date = FIRST_DAY) -> pd.DataFrame:
    """Return minutes (by default two years) with the columns and dtypes of Polygon's responses, in UTC."""
    import numpy as np

    bars = us_stock_bars(symbol, first, LAST_DAY).tz_convert("UTC")
    chance = np.random.default_rng(zlib.crc32(symbol.encode()))
    bars["volume"] = bars["volume"].astype("int64")
    bars["vwap"] = (bars["low"] + (bars["high"] - bars["low"]) * chance.random(len(bars))).round(4)
    bars["transactions"] = np.maximum(bars["volume"] // chance.integers(40, 200, len(bars)), 1)
    bars["otc"] = None
    return bars


def warm_sides(workplace: Workplace, symbols: int = SYMBOLS, first: date = FIRST_DAY) -> dict[str, Settings]:
    """Return the settings for a process of each side that finds some symbols and downloads nothing."""
    return {
        "lumibot": {"LUMIBOT_CACHE_FOLDER": str(lumibot_cache(workplace, symbols, first))},
        "duckdb": store_settings(polygon_store(workplace, symbols, first)),
    }


def store_settings(store: Path) -> Settings:
    """Return the settings for a process of our side that uses this store."""
    return {"LUMIBOT_DUCKDB_PATH": str(store)}


def lumibot_cache(workplace: Workplace, symbols: int = SYMBOLS, first: date = FIRST_DAY) -> Path:
    """Return a cache folder of Lumibot's with the Polygon files of some symbols."""

    def fill(folder: Path) -> None:
        settings = {"LUMIBOT_CACHE_FOLDER": str(folder)}
        run_apart("polygon.bars.fill_cache", settings=settings, symbols=symbols, first=first.isoformat())

    folder = workplace.made_once(named("polygon-cache", first), fill)
    for snapshot in folder.glob("polygon/*_splits.parquet"):
        snapshot.touch()
    return folder


def bar_files(cache: Path) -> list[Path]:
    """Return the files of minutes in a cache folder of Lumibot's, without the split snapshots beside them."""
    return sorted(cache.glob(f"{SOURCE}/stock_*_minute.parquet"))


def rows_in(files: Iterable[Path]) -> int:
    """Return the number of rows in Parquet files."""
    import pyarrow.parquet

    return sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)


def fill_cache(symbols: int, first: str) -> None:
    """Write Lumibot's cache files with Lumibot's own function."""
    import pandas as pd
    from lumibot.entities import Asset
    from lumibot.tools.polygon_helper import build_cache_filename, update_cache

    for symbol in symbol_names(symbols):
        file = build_cache_filename(Asset(symbol), "minute", Asset("USD", "forex"))
        bars = polygon_bars(symbol, date.fromisoformat(first))
        bars.insert(bars.columns.get_loc("transactions"), "timestamp", bars.index.as_unit("ms").asi8)
        update_cache(file, bars)
        pd.DataFrame([]).to_parquet(file.with_name(f"{file.stem}_splits.parquet"))


def polygon_store(workplace: Workplace, symbols: int = SYMBOLS, first: date = FIRST_DAY) -> Path:
    """Return a store with `symbols` symbols, as after downloads from Polygon."""

    def fill(folder: Path) -> None:
        storage = open_store(folder / "bars.duckdb")
        for symbol in symbol_names(symbols):
            _store(storage, symbol, first)
        storage.close()

    store = workplace.made_once(named(f"polygon-store-{symbols}", first), fill) / "bars.duckdb"
    storage = open_store(store)
    for symbol in symbol_names(symbols):
        storage.record_corporate_actions(AssetKey(symbol), [], SOURCE)
    storage.close()
    return store


def _store(storage: DuckDBDataStorage, symbol: str, first: date) -> None:
    storage.store_ohlcv_data(
        symbol,
        polygon_bars(symbol, first),
        SOURCE,
        "minute",
        adjustment="split",
        covered=TimeRange(_midnight(min(_ASKED_FROM, first)), _midnight(LAST_DAY)),
        metadata={"ticker": symbol, "whole_numbers": ["volume", "transactions"]},
    )


def _midnight(day: date) -> int:
    import pandas as pd

    return int(pd.Timestamp(day, tz=MARKET_TIME_ZONE).timestamp())
