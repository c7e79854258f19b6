"""An options strategy on Polygon: iron condors, for which it walks through chains, a price for each contract."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.bars import Workplace, open_store
from benchmarks.measure import Row, against
from benchmarks.memory import imports_note
from benchmarks.outcomes import identical, run_in_turn, sample
from benchmarks.polygon.bars import SOURCE, Settings, store_settings
from benchmarks.polygon.sides import OPPONENT
from benchmarks.process import run_apart
from lumibot_duckdb.storage.api import AssetKey

if TYPE_CHECKING:
    from sources.polygon.market import PolygonMarket

SYMBOL = "SIM001"
START, END = "2023-01-17", "2023-04-14"
_FIRST_DAY = date(2022, 12, 20)
_REPEATS = 3
_FILLS = {"lumibot": 2, "duckdb": 1}  # Lumibot requests the splits of each contract in the second run


def iron_condors(workplace: Workplace, repeats: int = _REPEATS) -> list[Row]:
    """CPU, time and memory of a quarter of iron condors on Polygon's options; the results are compared."""
    sides = filled_sides(workplace)
    outcomes = run_in_turn(sides, repeats, backtest)
    ours, theirs = outcomes["duckdb"], outcomes["lumibot"]
    what = f"iron condors, {START} to {END}"
    note = (
        f"Every day, the strategy walks through a chain for a new condor, and every half hour, it looks at the prices "
        f"of the open ones: {ours[0]['contracts']:,} assets in all. All {identical(ours[0])}"
    )
    rows = [
        against(
            f"{what}: CPU of the whole process",
            "s",
            OPPONENT,
            sample(ours, "cpu"),
            sample(theirs, "cpu"),
            at_least=2.0,
            budget="half the CPU",
            note=note,
        )
    ]
    rows += [
        against(f"{what}: {name}", unit, OPPONENT, sample(ours, key, scale), sample(theirs, key, scale), note=about)
        for name, key, unit, scale, about in (
            ("time of the whole process", "whole", "s", 1.0, ""),
            ("peak memory", "peak", "MB", 1e-6, imports_note(ours[0], theirs[0])),
        )
    ]
    return rows


def backtest(side: str, settings: Mapping[str, str], url: str | None = None) -> dict[str, Any]:
    """Run the backtest in a separate process, with Polygon at `url` (None: nowhere)."""
    started = perf_counter()
    outcome: dict[str, Any] = run_apart("polygon.options.run", settings=settings, side=side, url=url)
    return outcome | {"whole": perf_counter() - started}


def run(side: str, url: str | None) -> dict[str, Any]:
    """Run the backtest in this process."""
    from benchmarks.polygon.backtest import run as run_strategy

    if url is None:
        return run_strategy(side, "IronCondors", [SYMBOL], START, END)
    from sources.polygon.loopback_client import client_redirected_to
    from sources.polygon.server import KEY

    with client_redirected_to(url):
        return run_strategy(side, "IronCondors", [SYMBOL], START, END, key=KEY)


# -- a cache and a store, both filled by this backtest ---------------------------------------------------------


def filled_sides(workplace: Workplace) -> dict[str, Settings]:
    """Return the settings for a process of each side that finds all bars and chains of the backtest."""
    cache, store = (
        workplace.made_once(f"polygon-options-{side}", lambda folder, side=side: _fill(side, folder)) for side in _FILLS
    )
    for snapshot in cache.glob("polygon/*_splits.parquet"):
        snapshot.touch()
    storage = open_store(store / "bars.duckdb")
    storage.record_corporate_actions(AssetKey(SYMBOL), [], SOURCE)
    storage.close()
    return {"lumibot": _settings("lumibot", cache), "duckdb": _settings("duckdb", store)}


def _settings(side: str, folder: Path) -> Settings:
    return {"LUMIBOT_CACHE_FOLDER": str(folder)} if side == "lumibot" else store_settings(folder / "bars.duckdb")


def _fill(side: str, folder: Path) -> None:
    with option_market().served() as server:
        for _ in range(_FILLS[side]):
            backtest(side, _settings(side, folder), server.url)


def option_market() -> PolygonMarket:
    """Return a stock at 400 dollars, and its options of every second week, with strikes every three dollars.

    They trade in about every seventh minute of every day. On a day without a trade, Lumibot's second run on its own
    files would fill orders at other prices than its first.
    """
    import pandas as pd

    from lumibot_duckdb.demo.market import us_stock_bars
    from sources.polygon.market import PolygonMarket, at_price, list_options, strikes_at

    first, end = (pd.Timestamp(day, tz="America/New_York").to_pydatetime() for day in (START, END))
    market = PolygonMarket(first, end)
    last_day = end.date() + timedelta(days=1)
    bars = us_stock_bars(SYMBOL, _FIRST_DAY, last_day)
    market.bars[SYMBOL, "minute"] = at_price(bars, 400.0, pd.Timestamp(first))
    fridays = [day.date() for day in pd.date_range(START, last_day + timedelta(days=42), freq="2W-FRI")]
    list_options(market, SYMBOL, fridays, strikes_at(400.0, 3.0, range(-20, 21)), often=0.15, quiet=0.0)
    return market
