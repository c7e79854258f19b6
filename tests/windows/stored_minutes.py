from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage

NEW_YORK = "America/New_York"


def minutes(seed: int, days: int = 30, start: str = "2024-01-02") -> pd.DataFrame:
    """Return regular sessions of minute bars."""
    index = pd.DatetimeIndex(
        np.concatenate(
            [
                pd.date_range(f"{day.date()} 09:30", f"{day.date()} 15:59", freq="min", tz=NEW_YORK)
                for day in pd.bdate_range(start, periods=days)
            ]
        )
    ).tz_convert(NEW_YORK)
    close = 100 + np.random.default_rng(seed).normal(0, 0.05, len(index)).cumsum().round(2)
    columns = {"open": close, "high": close + 0.1, "low": close - 0.1, "close": close}
    return pd.DataFrame({**columns, "volume": np.arange(len(index)) % 1000}, index=index.rename("datetime"))


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    """A store with minute bars of AAA, BBB and CCC from "own"."""
    storage = DuckDBDataStorage(tmp_path / "bars.duckdb")
    for seed, symbol in enumerate(("AAA", "BBB", "CCC")):
        storage.store_ohlcv_data(symbol, minutes(seed), "own", "minute")
    return storage
