"""Bars for the tests of analytics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from lumibot_duckdb.analytics.requests import Request, parsed_request
from lumibot_duckdb.analytics.warm_up import Reach

DATA = Path(__file__).parents[3] / "shared" / "data"
COLUMNS = ("open", "high", "low", "close", "volume")
REQUESTS = {name: parsed_request(name) for name in CATALOGUE}
"""Every indicator with its defaults."""

SHORT = {
    **{name: parsed_request(name) for name in ("vwap_session", "pivot_points", "obv", "drawdown", "psar")},
    **{
        name: parsed_request(f"{name}({values})")
        for name, values in {
            "sma": "3", "ema": "3", "wma": "3", "dema": "2", "tema": "2", "hma": "4", "kama": "2", "vwap": "3",
            "bollinger": "3, 2", "keltner": "2", "donchian": "3", "zscore": "3", "rsi": "2", "stochastic": "3, 2, 2",
            "fast_stochastic": "3, 2", "stoch_rsi": "2, 3, 2", "macd": "2, 4, 2", "cci": "3", "williams_r": "3",
            "mfi": "2", "roc": "2", "momentum": "2", "trix": "2", "adx": "2", "aroon": "3", "supertrend": "2",
            "ichimoku": "2, 3, 4", "atr": "2", "natr": "2", "volatility": "3, 252", "parkinson": "3",
            "garman_klass": "3",
        }.items()
    },
}  # fmt: skip
"""Every indicator with parameters so small that short series have values."""


def frame(rows: int, seed: int = 0, freq: str = "min", start: str = "2024-01-02 09:30") -> pd.DataFrame:
    """Return plausible bars, with prices in cents, some of them flat and without volume."""
    rng = np.random.default_rng(seed)
    close = np.exp(np.cumsum(rng.normal(0, 0.01, rows))) * 100
    opened = close * (1 + rng.normal(0, 0.003, rows))
    table = {
        "open": opened,
        "high": np.maximum(opened, close) * (1 + np.abs(rng.normal(0, 0.003, rows))),
        "low": np.minimum(opened, close) * (1 - np.abs(rng.normal(0, 0.003, rows))),
        "close": close,
    }
    index = pd.date_range(start, periods=rows, freq=freq, tz="America/New_York", name="datetime")
    made = pd.DataFrame(table, index=index).round(2)
    made["volume"] = rng.integers(0, 1000, rows).astype(float)
    halted = slice(rows // 3, rows // 3 + 4)
    made.iloc[halted, :4] = made["close"].iloc[halted.start] if rows > 3 else 100.0
    made.iloc[halted, 4] = 0.0
    return made


def bars_of(table: pd.DataFrame) -> Bars:
    """Return a frame of bars as arrays."""
    index = pd.DatetimeIndex(table.index).as_unit("s")
    return Bars(np.asarray(index.asi8), {name: table[name].to_numpy(float).copy() for name in table.columns})


def stored_frames() -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield symbol, timeframe and bars of each series in the folder of real data."""
    for file in sorted(DATA.glob("*_*.parquet")):
        table = pd.read_parquet(file)
        if "close" not in table.columns:
            continue
        day = "date" in table.columns
        for symbol, rows in table.groupby("symbol"):
            times = pd.DatetimeIndex(rows["date" if day else "ts"])
            zoned = times.tz_localize("America/New_York" if day else "UTC") if times.tz is None else times
            numbers = rows[[name for name in COLUMNS if name in rows.columns]].astype(float)
            made = numbers.set_axis(zoned.tz_convert("America/New_York").rename("datetime"))
            yield str(symbol), "day" if day else "minute", made[~made.index.duplicated()]


def assert_close(actual: Any, expected: Any, scale: float = 0.0, label: str = "") -> None:
    """Fail unless numbers are missing in the same places, and equal to 1e-9; `scale` is that of what was subtracted."""
    np.testing.assert_allclose(
        np.asarray(actual, float), np.asarray(expected, float), rtol=1e-9, atol=1e-9 * max(scale, 1e-3), err_msg=label
    )


def needs_history(request: Request) -> bool:
    """Return whether a value depends on all earlier bars."""
    return request.warm_up.reach in (Reach.RECURSIVE, Reach.ALL)


@st.composite
def market(draw: st.DrawFn, least: int = 1, most: int = 60) -> Bars:
    """Return bars with everything that happens: gaps, halts, jumps, zero volume, missing numbers, negative prices."""
    rows = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    close = np.round(np.cumsum(rng.normal(0, 1, rows)) + draw(st.sampled_from([100.0, 3.0, 50_000.0])), 2)
    for kind in draw(st.lists(st.sampled_from(["halt", "jump", "fall"]), max_size=3)):
        place = draw(st.integers(0, rows - 1))
        if kind == "halt":
            close[place : place + draw(st.integers(2, 30))] = close[place]
        else:
            close[place:] = np.round(close[place:] * (10 if kind == "jump" else 0.01), 4)
    spread = np.round(rng.uniform(0, 1, rows), 2) * (np.diff(close, prepend=close[0]) != 0)
    opened = close - spread * rng.uniform(-1, 1, rows)
    columns: dict[str, FloatArray] = {
        "open": opened,
        "high": np.maximum(opened, close) + spread,
        "low": np.minimum(opened, close) - spread,
        "close": close,
        "volume": np.where(
            rng.uniform(size=rows) < draw(st.sampled_from([0.0, 0.5, 1.0])), 0.0, rng.integers(1, 99, rows)
        ),
    }
    minutes = np.cumsum(rng.choice([1, 1, 1, 5, 600, 3000], rows))
    return Bars(1_704_205_800 + 60 * minutes.astype(np.int64), columns)
