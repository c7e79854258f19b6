"""`indicators` of the Alpaca source: stored bars that have closed, without the prices that Lumibot fills in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import us_stock_bars
from sources.alpaca.server import AlpacaServer
from sources.alpaca.test_source import NEW_YORK, SPY, source

REQUESTS = ["rsi(3)", "ema(5)", "donchian(4)"]
NOW = pd.Timestamp("2024-03-08 11:00", tz="America/New_York")
NEWEST = {
    "minute": "2024-03-08 10:59",
    "5min": "2024-03-08 10:55",
    "hour": "2024-03-08 10:00",
    "day": "2024-03-07",
    "week": "2024-02-26",
}


def test_values_are_those_of_the_newest_bar_that_has_closed(tmp_path: Path) -> None:
    bars = us_stock_bars("SPY", dt.date(2024, 1, 2), dt.date(2024, 3, 12))
    prices = bars[["open", "high", "low", "close"]]
    with AlpacaServer() as server:
        server.serve("stock", "SPY", bars.assign(high=prices.max(axis=1), low=prices.min(axis=1)))
        with source(tmp_path, server, 4, 8, history_before_start=True) as made:
            found = {step: made.indicators(SPY, REQUESTS, step, 3) for step in NEWEST}
            shown = made.get_historical_prices(SPY, 1, "day", remove_incomplete_current_bar=True).df.index[-1]
    assert made.tzinfo.zone == NEW_YORK.zone
    assert found["day"].index[-1] == shown
    with DuckDBDataStorage(tmp_path / "store.duckdb") as storage:
        for step, values in found.items():
            assert values.index[-1] == pd.Timestamp(NEWEST[step], tz="America/New_York"), step
            full = storage.indicators("SPY", REQUESTS, step)
            expected = full[full.index <= values.index[-1]].tail(3)
            pd.testing.assert_frame_equal(values, expected, rtol=1e-9, check_freq=False, check_index_type=False)
