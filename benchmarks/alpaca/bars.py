"""The bars of `benchmarks.bars` in Alpaca's form, in Lumibot's CSV files and in one of our stores.

Both have minutes, 5-minute bars and days of some symbols for the backtest of two years, so neither side downloads
anything.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.alpaca.sides import make_source
from benchmarks.bars import FIRST_DAY, LAST_DAY, Workplace, open_store
from benchmarks.process import run_apart
from benchmarks.sides import new_york
from lumibot_duckdb.demo.market import symbol_names, us_stock_bars
from lumibot_duckdb.storage.api import TimeRange

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "alpaca"
START, END = "2022-01-03", "2023-12-29"
SYMBOLS = 4
STEPS = {"minute": None, "5minute": "5min", "day": "1D"}
_HOW: Any = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}

Settings = dict[str, str]


def alpaca_bars(symbol: str, timestep: str) -> pd.DataFrame:
    """Return two years of bars with the columns and dtypes of Alpaca's responses, in UTC."""
    bars = us_stock_bars(symbol, FIRST_DAY, LAST_DAY)
    step = STEPS[timestep]
    if step is not None:
        bars = bars.resample(step).agg(_HOW).dropna()
    prices = bars[["open", "high", "low", "close"]]
    bars = bars.assign(high=prices.max(axis=1), low=prices.min(axis=1)).astype("float64").tz_convert("UTC")
    bars["trade_count"] = bars["volume"] // 100 + 1
    bars["vwap"] = ((bars["high"] + bars["low"] + bars["close"]) / 3).round(6)
    return bars


def warm_sides(workplace: Workplace, symbols: int = SYMBOLS, start: str = START, end: str = END) -> dict[str, Settings]:
    """Return the settings for a process of each side that finds all bars of a backtest and downloads nothing."""
    return {
        "lumibot": {"LUMIBOT_CACHE_FOLDER": str(lumibot_cache(workplace, symbols, start, end))},
        "duckdb": {"LUMIBOT_DUCKDB_PATH": str(alpaca_store(workplace, symbols))},
    }


def lumibot_cache(workplace: Workplace, symbols: int, start: str, end: str) -> Path:
    """Return a cache folder of Lumibot's with the CSV files of the symbols, which belong to one window only."""

    def fill(folder: Path) -> None:
        run_apart(
            "alpaca.bars.fill_cache",
            settings={"LUMIBOT_CACHE_FOLDER": str(folder)},
            symbols=symbols,
            start=start,
            end=end,
        )

    return workplace.made_once(f"alpaca-cache-{symbols}-{start}", fill)


def fill_cache(symbols: int, start: str, end: str) -> None:
    """Have Lumibot write its files, with our bars as responses."""
    from unittest import mock

    from lumibot.backtesting import alpaca_backtesting
    from lumibot.entities import Asset

    source = make_source("lumibot", start, end)

    def answer(client: Any, request: Any, *arguments: Any, **settings: Any) -> Any:
        import pandas as pd

        symbol, timestep = request.symbol_or_symbols, asked.pop()
        frame = pd.concat([alpaca_bars(symbol, timestep)], keys=[symbol], names=["symbol", "timestamp"])
        return SimpleNamespace(df=frame)

    asked: list[str] = []
    with mock.patch.object(alpaca_backtesting, "fetch_alpaca_bars", answer):
        for symbol in symbol_names(symbols):
            for timestep in STEPS:
                asked.append(timestep)
                source.get_historical_prices_between_dates(base_asset=Asset(symbol), timestep=timestep)


def alpaca_store(workplace: Workplace, symbols: int) -> Path:
    """Return a store with the symbols, as after downloads from Alpaca."""

    def fill(folder: Path) -> None:
        storage = open_store(folder / "bars.duckdb")
        start, end = (int(new_york(day.isoformat()).timestamp()) for day in (FIRST_DAY, LAST_DAY))
        for symbol in symbol_names(symbols):
            for timestep in STEPS:
                storage.store_ohlcv_data(
                    symbol,
                    alpaca_bars(symbol, timestep),
                    SOURCE,
                    timestep,
                    adjustment="all",
                    covered=TimeRange(start, end),
                )
        storage.close()

    return workplace.made_once(f"alpaca-store-{symbols}", fill) / "bars.duckdb"
