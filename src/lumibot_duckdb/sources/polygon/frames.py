"""Polygon's aggregates as a frame: the one that Lumibot makes of them, without an object for each bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = {
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
    "vwap": "vw",
    "transactions": "n",
    "otc": "otc",
}
"""What aggregates have, as the official client's `Agg` names it and in its order, and their short names of it."""


def frame_of_aggregates(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the bars by their start, in order; of several with the same start the last.

    The dtypes are what pandas infers from the JSON: whole numbers stay int64, a column that no bar has is all None.
    """
    times = np.array([row["t"] for row in rows], dtype=np.int64)
    index = pd.DatetimeIndex(pd.to_datetime(times, unit="ms", utc=True), name="datetime")
    frame: pd.DataFrame = pd.DataFrame({name: [row.get(short) for row in rows] for name, short in COLUMNS.items()})
    frame.index = index
    if not index.is_monotonic_increasing:
        frame = frame.sort_index(kind="stable")
    if not frame.index.is_unique:
        frame = frame[~frame.index.duplicated(keep="last")]
    return frame
