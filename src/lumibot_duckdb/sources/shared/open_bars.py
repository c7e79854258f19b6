"""The bars of a series that had not closed when they were downloaded.

They are not stored, because they will change, but the backtest sees them. Another download or another process may store
such a bar once it has closed, and a backtest must not see it twice. So these bars are always those of a pinned version:
its own bars are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import DataStorageInterface, SeriesPin, TimeRange
from lumibot_duckdb.storage.times import bar_starts
from lumibot_duckdb.windows.ranges_view import NO_ROWS


class OpenBars:
    """The open bars of one series, as its downloads bring them."""

    def __init__(self, storage: DataStorageInterface) -> None:
        self._storage = storage
        self._bars = NO_ROWS
        self._pin: SeriesPin | None = None

    def add(self, bars: pd.DataFrame, response: TimeRange) -> None:
        """Add the open bars of a response, which replace the earlier ones in the response's range."""
        starts, added = bar_starts(self._bars), bar_starts(bars)
        end = max(response.end, int(added.max()) + 1) if len(added) else response.end
        others = self._bars[(starts < response.start) | (starts >= end)]
        self._bars = pd.concat([others, bars]).sort_index() if len(others) else bars
        self._pin = None

    def not_in(self, pin: SeriesPin | None) -> pd.DataFrame:
        """Return the open bars that a pinned version lacks, by bar start; all of them if there is no version."""
        if pin is not None and pin != self._pin:
            self._bars = self._bars[~self._stored(pin)] if len(self._bars) else self._bars
            self._pin = pin
        return self._bars

    def _stored(self, pin: SeriesPin) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return a mask of the bars that a pinned version has."""
        starts = bar_starts(self._bars)
        around = TimeRange(int(starts.min()), int(starts.max()) + 1)
        return np.isin(starts, self._storage.read_bars(pin, around, (), remember=False).times)
