"""Writes the small store of an earlier schema: run it with the source of that time; see README.md.

It uses what that source can store, and prints what it has left out.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from lumibot.entities import Asset

from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

sys.path.insert(0, str(Path(__file__).parents[2]))

from storage.frames import minute_bars

try:
    from lumibot_duckdb.storage.api import CorporateAction, TimeRange
except ImportError:
    from lumibot_duckdb.storage.interface import TimeRange

    try:
        from lumibot_duckdb.storage.interface import CorporateAction
    except ImportError:
        CorporateAction = None

CALL = Asset("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.0, right="CALL")
DAY = TimeRange(1_704_171_600, 1_704_258_000)  # 2 January 2024 in New York
EMPTY = TimeRange(1_704_258_000, 1_704_344_400)
CHAIN = {"Multiplier": 100, "Exchange": "SMART", "Chains": {"CALL": {"2024-01-19": [470.0, 475.0]}, "PUT": {}}}


def long_bars() -> pd.DataFrame:
    """Return enough bars for an outline, alike so that they take little space."""
    bars = minute_bars("2023-03-01 09:30", rows=12_000)
    return bars.assign(**{name: np.resize(bars[name].to_numpy()[:10], len(bars)) for name in bars})


def write(storage: DuckDBDataStorage) -> None:
    """Store series of several kinds, a superseded version, coverage, and what else the source can store."""
    bars = minute_bars(rows=120)
    storage.store_ohlcv_data("AAPL", bars[:60], "polygon", "minute", covered=DAY)
    storage.store_ohlcv_data("AAPL", bars[60:], "polygon", "minute", metadata={"note": "the second part"})
    storage.store_ohlcv_data("AAPL", minute_bars("2023-01-03", 200, 1, "D"), "yahoo", "day", adjustment="all")
    storage.store_ohlcv_data("MSFT", minute_bars(rows=60, seed=2) + 1, "polygon", "minute")
    storage.store_ohlcv_data("MSFT", minute_bars(rows=60, seed=2), "polygon", "minute")
    storage.store_ohlcv_data("LONG", long_bars(), "polygon", "minute")
    noted = minute_bars(rows=30, seed=3).assign(note=["ü"] * 30)
    storage.store_ohlcv_data(CALL, noted, "polygon", "minute", covered=DAY)
    storage.record_coverage("NONE", EMPTY, "polygon", "minute")
    if CorporateAction is None:
        print("without actions and chains")
        return
    split = CorporateAction(dt.date(2020, 8, 31), 1, 4)
    storage.record_corporate_actions(
        "AAPL", [split], "polygon", checked_at=dt.datetime(2024, 1, 3, tzinfo=dt.timezone.utc)
    )
    storage.store_option_chain("SPY", CHAIN, "polygon", dt.date(2024, 1, 2))
    files = getattr(storage, "migrated_files", None)
    remember = getattr(storage, "remember_migrated", None) if files is None else files.remember
    if remember is None:
        print("without migrated files")
        return
    remember("/old/MSFT.feather", "60", 60, [storage.pin("MSFT").version_id])


if __name__ == "__main__":
    made = DuckDBDataStorage(sys.argv[1])
    write(made)
    made.close()
