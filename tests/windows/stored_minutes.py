from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from templates import template

NEW_YORK = "America/New_York"


def minutes(seed: int, days: int = 30, start: str = "2024-01-02") -> pd.DataFrame:
    """Return regular sessions of minute bars."""
    since_midnight = pd.to_timedelta(np.arange(390) + (9 * 60 + 30), "min")
    index = pd.bdate_range(start, periods=days).repeat(390) + np.tile(since_midnight, days)
    index = index.tz_localize(NEW_YORK)
    close = 100 + np.random.default_rng(seed).normal(0, 0.05, len(index)).cumsum().round(2)
    columns = {"open": close, "high": close + 0.1, "low": close - 0.1, "close": close}
    return pd.DataFrame({**columns, "volume": np.arange(len(index)) % 1000}, index=index.rename("datetime"))


@template
def three_symbols(storage: DuckDBDataStorage) -> None:
    for seed, symbol in enumerate(("AAA", "BBB", "CCC")):
        storage.store_ohlcv_data(symbol, minutes(seed), "own", "minute")


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    """A store with minute bars of AAA, BBB and CCC from "own"."""
    return DuckDBDataStorage(three_symbols(tmp_path / "bars.duckdb"))
