"""The frame of the indicators of several assets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.analytics.frames import SYMBOL_COLUMN, TIME_COLUMN
from lumibot_duckdb.storage.bars.output import time_index
from lumibot_duckdb.storage.identity import asset_query, published_name
from lumibot_duckdb.windows.indicator_window import ClosedBars

_UNIT = "us"


def long_frame(found: Sequence[tuple[Any, ClosedBars]], columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows of several assets one after another, as `storage.indicators` does for a list."""
    times = np.concatenate([np.empty(0, np.int64), *(bars.times for _, bars in found)])
    symbols = [published_name(asset_query(asset).key) for asset, _ in found]
    table: dict[str, Any] = {
        SYMBOL_COLUMN: np.repeat(np.array(symbols, dtype=object), [bars.high - bars.low for _, bars in found]),
        TIME_COLUMN: time_index(times, _UNIT),
    }
    for name in columns:
        values = (bars.rows.table.columns[name][bars.low : bars.high] for _, bars in found)
        table[name] = np.concatenate([np.empty(0), *values])
    frame: pd.DataFrame = pd.DataFrame(table)
    return frame
