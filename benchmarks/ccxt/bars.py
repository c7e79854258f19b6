"""A year of generated minutes and days of coins, in Lumibot's own files and in one of our stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bars import Workplace, open_store
from benchmarks.process import run_apart
from lumibot_duckdb.demo.market import crypto_bars, symbol_names
from lumibot_duckdb.storage.api import AssetKey, TimeRange

if TYPE_CHECKING:
    import pandas as pd

COINS = 10
EXCHANGE, QUOTE, SOURCE = "binance", "USDT", "ccxt"
START, END = "2022-01-05", "2023-01-05"
"""The backtest. The bars cover a few more days on both sides, so that no file of Lumibot's lacks the first minute."""

_FIRST_DAY, _FIRST, _AFTER = date(2021, 3, 1), date(2022, 1, 1), date(2023, 1, 9)
_HOW = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}

Settings = dict[str, str]


def warm_sides(workplace: Workplace, coins: int = COINS, first: date = _FIRST) -> dict[str, Settings]:
    """Return the settings for a process of each side that finds all candles and downloads nothing."""
    return {
        "lumibot": {"LUMIBOT_CACHE_FOLDER": str(lumibot_cache(workplace, coins, first))},
        "duckdb": {"LUMIBOT_DUCKDB_PATH": str(ccxt_store(workplace, coins, first))},
    }


def candles(coin: str, first: date = _FIRST) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the timeframe in ccxt's and in the store's spelling, and the candles of a coin, in UTC."""
    minutes = crypto_bars(coin, min(first, _FIRST_DAY), _AFTER).tz_convert("UTC")[list(_HOW)].astype("float64")
    yield "1m", "minute", minutes.loc[f"{first}" :]  # type: ignore[misc]
    yield "1d", "day", minutes.resample("1D").agg(_HOW)  # type: ignore[arg-type]


def ccxt_store(workplace: Workplace, coins: int = COINS, first: date = _FIRST) -> Path:
    """Return a store with the candles, as after downloads."""

    def fill(folder: Path) -> None:
        storage = open_store(folder / "bars.duckdb")
        for coin in symbol_names(coins):
            asset = AssetKey(coin, "crypto", QUOTE, exchange=EXCHANGE)
            for _, step, frame in candles(coin, first):
                asked = TimeRange(_midnight(first if step == "minute" else min(first, _FIRST_DAY)), _midnight(_AFTER))
                storage.store_ohlcv_data(asset, frame, SOURCE, step, covered=asked)
        storage.close()

    return workplace.made_once(_named("ccxt-store", first), fill) / "bars.duckdb"


def lumibot_cache(workplace: Workplace, coins: int = COINS, first: date = _FIRST) -> Path:
    """Return a cache folder of Lumibot's with a file for each coin and timeframe."""

    def fill(folder: Path) -> None:
        settings = {"LUMIBOT_CACHE_FOLDER": str(folder)}
        run_apart("ccxt.bars.fill_cache", settings=settings, coins=coins, first=first.isoformat())

    return workplace.made_once(_named("ccxt-cache", first), fill)


def _named(name: str, first: date) -> str:
    return name if first == _FIRST else f"{name}-since-{first.year}"


def fill_cache(coins: int, first: str) -> None:
    """Write Lumibot's files with Lumibot's own function."""
    from lumibot.tools import CcxtCacheDB

    cache = CcxtCacheDB.__new__(CcxtCacheDB)  # its constructor loads markets over the network
    cache.exchange_id = EXCHANGE
    for coin in symbol_names(coins):
        for timeframe, _, frame in candles(coin, date.fromisoformat(first)):
            bars = frame.rename_axis("datetime").reset_index().assign(missing=0)
            bars["datetime"] = bars["datetime"].dt.tz_localize(None)
            cache._cache_ohlcv(f"{coin}/{QUOTE}", bars, timeframe)
            cache._rebuild_cache_ranges_from_candles(f"{coin}/{QUOTE}", timeframe)


def _midnight(day: date) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp())
