"""Stores generated daily bars, so that the example needs no provider: `python prices.py STORE`."""

import sys

import numpy as np
import pandas as pd

from lumibot_duckdb import DuckDBDataStorage


def bars(seed: int) -> pd.DataFrame:
    """Return six years of days."""
    days = pd.bdate_range("2018-01-02", "2023-12-29", tz="America/New_York")
    close = 100 * np.exp(np.random.default_rng(seed).normal(0.0003, 0.012, len(days)).cumsum())
    return pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6}, days)


if __name__ == "__main__":
    with DuckDBDataStorage(sys.argv[1]) as storage:
        for number, symbol in enumerate(("AAA", "BBB", "CCC")):
            storage.store_ohlcv_data(symbol, bars(number), source="generated", timeframe="day")
