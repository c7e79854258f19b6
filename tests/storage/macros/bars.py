"""Bars for the tests of macros."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

NEW_YORK = "America/New_York"
COLUMNS = ("open", "high", "low", "close", "volume")


def walk(rows: int, start: str = "2024-01-02 09:30", freq: str = "min", seed: int = 0, step: float = 0.05) -> pd.DataFrame:
    """Return bars of a random walk in cents, so that prices repeat, with some bars without volume."""
    rng = np.random.default_rng(seed)
    close = np.round(100 + np.cumsum(rng.normal(0, step, rows)), 2)
    opened = np.round(close + rng.normal(0, step, rows), 2)
    reach = np.round(rng.exponential(step, (2, rows)), 2)
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) + reach[0],
            "low": np.minimum(opened, close) - reach[1],
            "close": close,
            "volume": rng.integers(0, 50, rows).astype(float),
        },
        index=pd.date_range(start, periods=rows, freq=freq, tz=NEW_YORK, name="datetime"),
    ).round(2)


def flat(rows: int, price: float = 0.1, volume: float = 0.0) -> pd.DataFrame:
    """Return bars of one price, which binary fractions do not hit, and no volume."""
    bars = walk(rows)
    return bars.assign(**dict.fromkeys(("open", "high", "low", "close"), price), volume=volume)


def halted(rows: int = 900) -> pd.DataFrame:
    """Return bars of a walk that stands still in the middle, and has gaps."""
    bars = walk(rows, seed=3)
    still = slice(rows // 3, rows // 2)
    for name in COLUMNS[:4]:
        bars.iloc[still, bars.columns.get_loc(name)] = bars.close.iloc[rows // 3 - 1]
    bars.iloc[still, bars.columns.get_loc("volume")] = 0.0
    keep = np.random.default_rng(3).random(rows) > 0.1
    return bars[keep]


SERIES: Mapping[tuple[str, str, str], pd.DataFrame] = {
    ("WALK", "test", "minute"): walk(2_500),
    ("HALTED", "test", "minute"): halted(),
    ("DAILY", "test", "day"): walk(700, "2022-01-03", "B", 1, 1.0),
    ("TINY", "test", "minute"): walk(600, seed=2) * [1e-8, 1e-8, 1e-8, 1e-8, 1],
    ("FLAT", "test", "minute"): flat(120),
    ("SHORT", "test", "minute"): walk(3),
    ("TWICE", "one", "minute"): walk(30),
    ("TWICE", "two", "minute"): walk(30),
}
"""Keyed by symbol, source and timeframe."""


def utc(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the times of bars as they are in SQL."""
    index = bars.index
    assert isinstance(index, pd.DatetimeIndex)
    return index.tz_convert("UTC").tz_localize(None)
