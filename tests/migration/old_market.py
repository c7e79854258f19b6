"""The little market that the old cache files in `data/` were made of, and a server for it.

`python tests/migration/old_market.py` serves it until its standard input ends, for `write_old_cache.py`.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from sources.polygon.server import Contract, PolygonServer, Split

NEW_YORK = "America/New_York"
FIRST, LAST = dt.date(2023, 3, 6), dt.date(2023, 3, 10)
WITHOUT_A_BAR = dt.date(2023, 3, 8)
EXPIRATION = dt.date(2023, 3, 17)
STRIKES = (95, 97.5, 100)
SPLIT = Split("OLD", "2020-06-01", 1, 4)


def stock() -> pd.DataFrame:
    """Return the first twenty minutes of each day but one."""
    hours = [
        pd.date_range(f"{day.date()} 09:30", periods=20, freq="min", tz=NEW_YORK)
        for day in pd.bdate_range(FIRST, LAST)
        if day.date() != WITHOUT_A_BAR
    ]
    return _bars(hours[0].append(hours[1:]).tz_convert("UTC"), 100.0)


def option() -> pd.DataFrame:
    """Return some minutes of the stock's days, on two of them none."""
    minutes = stock()
    days = minutes.index.tz_convert(NEW_YORK).date
    return _bars(minutes.index[(days != FIRST) & (np.arange(len(minutes)) % 3 == 0)], 3.0)


def coin() -> pd.DataFrame:
    """Return hours."""
    hours = _bars(pd.date_range(str(FIRST), "2023-03-08", freq="h", tz="UTC", inclusive="left"), 22_000.0)
    hours["volume"] += 0.25
    return hours


def server() -> PolygonServer:
    """Return a server with the market."""
    filled = PolygonServer(whole_as_int=True, splits=[SPLIT])
    filled.serve("OLD", "minute", stock())
    filled.serve("X:BTCUSD", "hour", coin())
    for strike in STRIKES:
        for right in ("call", "put"):
            ticker = f"O:OLD{EXPIRATION:%y%m%d}{right[0].upper()}{round(strike * 1000):08d}"
            filled.contracts.append(Contract(ticker, "OLD", EXPIRATION.isoformat(), right, strike))
    filled.serve("O:OLD230317C00100000", "minute", option())
    return filled


def _bars(index: pd.DatetimeIndex, price: float) -> pd.DataFrame:
    rng = np.random.default_rng(len(index))
    close = (price * np.exp(np.cumsum(rng.normal(0, 1e-3, len(index))))).round(2)
    bars = pd.DataFrame(
        {"open": np.roll(close, 1), "high": close + 0.5, "low": close - 0.5, "close": close}, index=index
    )
    bars["high"] = bars[["open", "high"]].max(axis=1)
    bars["low"] = bars[["open", "low"]].min(axis=1)
    bars["volume"] = rng.integers(1, 100, len(index)) * 100.0
    return bars.round(2)


if __name__ == "__main__":
    with server() as running:
        print(running.url, flush=True)
        sys.stdin.read()
