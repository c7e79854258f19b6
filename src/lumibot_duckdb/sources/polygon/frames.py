"""Makes a frame of Polygon's aggregates that equals Lumibot's, but without an object for each bar."""

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
"""The columns of a frame, named and ordered as in the official client's `Agg`, and their names in Polygon's JSON."""


def frame_of_aggregates(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return aggregates as a frame.

    Parameters:
        rows: the results of Polygon's JSON answer.

    Returns:
        a frame with the columns of `COLUMNS`, indexed by bar start (`datetime`, UTC, nanoseconds), sorted. Of several
        bars with the same start, the last one is kept. The dtypes are what pandas infers from the JSON: whole numbers
        are int64, and a column that no bar has is all None.
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
